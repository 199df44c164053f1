"""Algorithms: arrays in, arrays out."""
