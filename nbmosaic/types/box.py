"""Rectangles of whole pixels."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PixelBox"]


@dataclass(frozen=True, slots=True, order=True)
class PixelBox:
    """Half-open box of whole pixels: rows ``ymin <= y < ymax``, columns ``xmin <= x < xmax``.

    Indices are 0-based on the mosaic grid and may be negative or beyond it: a header template that cuts a frame does not cut the frame's box.

    Examples
    --------
    >>> PixelBox(0, 10, 0, 20).intersection(PixelBox(5, 15, -3, 4))
    PixelBox(ymin=5, ymax=10, xmin=0, xmax=4)
    """

    ymin: int
    ymax: int
    xmin: int
    xmax: int

    @classmethod
    def of_shape(cls, shape: tuple[int, int]) -> PixelBox:
        """Box of an array of `shape` ``(ny, nx)`` with its first pixel at (0, 0)."""
        return cls(0, shape[0], 0, shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``; zero where the box is empty."""
        return (max(0, self.ymax - self.ymin), max(0, self.xmax - self.xmin))

    @property
    def size(self) -> int:
        """Number of pixels."""
        ny, nx = self.shape
        return ny * nx

    @property
    def empty(self) -> bool:
        """Whether the box holds no pixel."""
        return self.ymax <= self.ymin or self.xmax <= self.xmin

    def intersection(self, other: PixelBox) -> PixelBox:
        """Pixels in both boxes (may be empty)."""
        return PixelBox(max(self.ymin, other.ymin), min(self.ymax, other.ymax), max(self.xmin, other.xmin), min(self.xmax, other.xmax))

    def union(self, other: PixelBox) -> PixelBox:
        """Smallest box that holds both."""
        return PixelBox(min(self.ymin, other.ymin), max(self.ymax, other.ymax), min(self.xmin, other.xmin), max(self.xmax, other.xmax))

    def shift(self, dy: int, dx: int) -> PixelBox:
        """The box moved by whole pixels."""
        return PixelBox(self.ymin + dy, self.ymax + dy, self.xmin + dx, self.xmax + dx)

    def expand(self, n: int) -> PixelBox:
        """The box grown by `n` pixels on every side."""
        return PixelBox(self.ymin - n, self.ymax + n, self.xmin - n, self.xmax + n)

    def slices(self, parent: PixelBox | None = None) -> tuple[slice, slice]:
        """Slices ``(y, x)`` that cut this box out of an array that covers `parent` (default: an array whose first pixel is (0, 0))."""
        y0, x0 = (0, 0) if parent is None else (parent.ymin, parent.xmin)
        return (slice(self.ymin - y0, self.ymax - y0), slice(self.xmin - x0, self.xmax - x0))
