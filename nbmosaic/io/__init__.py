"""Files to types and types to files: FITS images, header templates, tables."""
