"""What of a cell needs no second run."""
