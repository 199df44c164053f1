"""nbmosaic."""
