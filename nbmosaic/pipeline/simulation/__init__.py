"""Simulated frames, exposures and fields with known truth."""
