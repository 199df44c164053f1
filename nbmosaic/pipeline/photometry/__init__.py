"""PSF, flux scale, background and offset of images against a reference."""
