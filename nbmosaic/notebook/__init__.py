"""What runs inside IPython: the cell language and the magics."""
