"""Exposures of a mosaic camera."""
