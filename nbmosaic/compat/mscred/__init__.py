"""IRAF's ``mscred.mscimage`` by its own name: parameters, files and numbers as mscred 5.05 has them.

>>> from nbmosaic.compat.mscred import mscimage

Lists are comma-separated names, patterns, ``@file`` and ``prefix//@file``, or Python lists; yes and no are True and False, INDEF is None. Masks are FITS files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmosaic.compat.mscred.task import mscimage

__all__ = ["mscimage"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name in __all__:
        return getattr(importlib.import_module("nbmosaic.compat.mscred.task"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted(__all__)
