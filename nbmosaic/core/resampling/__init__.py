"""Kernels and the resampling of frames."""
