"""Montage's functions by their own names: change one import, ``from nbmosaic.compat.montage import mBgModel``."""
