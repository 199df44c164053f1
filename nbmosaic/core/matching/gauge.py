"""What fixes the plane that all frames of a group have in common."""

from __future__ import annotations

from dataclasses import dataclass

from nbmosaic._types import BoolArray, FloatArray, IntArray

__all__ = ["Gauge"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Gauge:
    """What fixes the common plane of each group, canonical order.

    Attributes
    ----------
    component : ndarray of int64, shape (m,)
        Group of each frame.
    fixed : ndarray of bool, shape (m, k)
        Unknowns held at zero while solving.
    share : ndarray of float64, shape (m,)
        The common plane that is subtracted in the end is ``sum_f share_f P_f`` over the group (no share: nothing is subtracted).
    x, y : ndarray of float64, shape (groups,)
        Middle of each group, where common planes are evaluated.
    """

    component: IntArray
    fixed: BoolArray
    share: FloatArray
    x: FloatArray
    y: FloatArray
