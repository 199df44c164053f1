"""Point spread functions, and the fits that find them."""
