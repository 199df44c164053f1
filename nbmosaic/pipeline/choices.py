"""Values that options of the stages take."""

from __future__ import annotations

from typing import Literal

__all__ = ["Combine", "Conserve", "Method", "System", "Weight"]

Method = Literal["nearest", "bilinear", "spline", "lanczos3", "area", "exact"]
Conserve = Literal["surface_brightness", "flux"]
Combine = Literal["mean", "median", "clipped", "sum", "min", "max", "first", "count"]
Weight = Literal["none", "area", "weight", "variance"]
System = Literal["icrs", "fk5", "fk4", "galactic", "ecliptic"]
