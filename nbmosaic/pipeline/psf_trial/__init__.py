"""One PSF fit by hand: what the panel and its API twin share."""
