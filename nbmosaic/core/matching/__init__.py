"""Overlaps, plane fits and the global background model."""
