"""Buffers that one thread uses again and again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from nbmosaic._types import AnyArray

__all__ = ["Workspace"]


class Workspace:
    """Named buffers that grow as needed and are handed out again.

    Touching fresh memory for the first time costs up to 5 ns per pixel, more than a bilinear resampling, so whoever resamples many frames
    keeps one workspace per thread. The contents of a buffer are undefined: every function that asks for one writes all that it reads.
    A workspace must not be used by two threads at the same time.

    Examples
    --------
    >>> workspace = Workspace()
    >>> workspace.array("row", (2, 3), "f4").shape
    (2, 3)
    """

    def __init__(self) -> None:
        self._buffers: dict[str, AnyArray] = {}

    def array(self, name: str, shape: Sequence[int], dtype: DTypeLike) -> AnyArray:
        """Array of `shape` and `dtype` in the buffer `name`, valid until that name is asked for again.

        Parameters
        ----------
        name : str
            Name of the buffer.
        shape : sequence of int
            Shape of the array.
        dtype : dtype-like
            Type of its elements.

        Returns
        -------
        ndarray
            C-contiguous view of the buffer; its contents are undefined.
        """
        kind = np.dtype(dtype)
        n_bytes = math.prod(shape) * kind.itemsize
        buffer = self._buffers.get(name)
        if buffer is None or buffer.nbytes < n_bytes:
            # the old buffer is let go first, so that both never exist at the same time
            self._buffers.pop(name, None)
            buffer = self._buffers[name] = np.empty(n_bytes, np.uint8)
        result: AnyArray = np.ndarray(tuple(shape), kind, buffer=buffer[:n_bytes].data)
        return result

    @property
    def nbytes(self) -> int:
        """Memory held, in bytes."""
        return sum(buffer.nbytes for buffer in self._buffers.values())

    def __getstate__(self) -> dict[str, Any]:
        return {"_buffers": {}}  # a copy sent to another process starts empty
