"""Sky coordinates, pixel maps and grids."""
