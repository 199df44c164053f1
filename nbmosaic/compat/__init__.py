"""Faces with others' names: they translate names, units and defaults to ours and back, and compute nothing."""
