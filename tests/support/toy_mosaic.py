"""Frames that lie on the mosaic grid already: integer offsets, a plane each, white noise. Small enough for dense solutions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nbmosaic.core.matching.pairs import find_pairs
from nbmosaic.core.matching.planes import fit_overlap, stack_fits
from nbmosaic.types.box import PixelBox
from nbmosaic.types.matching import OverlapPlanes


@dataclass(frozen=True)
class ToyMosaic:
    boxes: np.ndarray  # (m, 4)
    planes: np.ndarray  # (m, 3): a, b, c about pixel (0, 0)
    frames: list[np.ndarray]

    @cached_property
    def pixel_boxes(self) -> list[PixelBox]:
        return [PixelBox(*b) for b in self.boxes.tolist()]


def toy_mosaic(boxes, rng, *, noise=1.0, slope=0.05, level=50.0, planes=None) -> ToyMosaic:
    """Frames of pure background and noise over `boxes`."""
    boxes = np.asarray(boxes, np.int64)
    m = len(boxes)
    if planes is None:
        planes = np.column_stack([rng.normal(0, slope, (m, 2)), rng.normal(0, level, m)])
    sigma = np.broadcast_to(noise, m)
    frames = []
    for f, (y0, y1, x0, x1) in enumerate(boxes.tolist()):
        y, x = np.mgrid[y0:y1, x0:x1]
        frames.append((planes[f, 0] * x + planes[f, 1] * y + planes[f, 2] + rng.normal(0, sigma[f], y.shape)).astype(np.float32))
    return ToyMosaic(boxes=boxes, planes=planes, frames=frames)


def grid_boxes(rows, columns, size, step, rng=None, jitter=0) -> np.ndarray:
    """Boxes of a regular grid of frames, with whole-pixel jitter."""
    out = []
    for r in range(rows):
        for c in range(columns):
            dy, dx = (0, 0) if rng is None else rng.integers(-jitter, jitter + 1, 2)
            out.append((r * step + dy, r * step + dy + size, c * step + dx, c * step + dx + size))
    return np.array(out, np.int64)


def window(toy: ToyMosaic, f: int, box: PixelBox) -> np.ndarray:
    return toy.frames[f][box.slices(toy.pixel_boxes[f])]


def toy_overlaps(toy: ToyMosaic, **options) -> OverlapPlanes:
    """Plane fits of all pairs."""
    options = {"sigma": None, "min_pixels": 1} | options
    boxes = toy.pixel_boxes
    fits = []
    for i, j in find_pairs(toy.boxes).tolist():
        box = boxes[i].intersection(boxes[j])
        fits.append(fit_overlap(window(toy, i, box), window(toy, j, box), box, plus_index=i, minus_index=j, **options))
    return stack_fits(fits)


def dense_planes(toy: ToyMosaic, pairs, *, slope=True, weights=None, keep=None) -> np.ndarray:
    """Least squares over every pixel of every overlap, all planes at once, mean gauge. `keep[k]`: pixels used of pair k."""
    m, q = len(toy.frames), 3 if slope else 1
    boxes = toy.pixel_boxes
    rows, values = [], []
    cy, cx = toy.boxes[:, :2].mean(), toy.boxes[:, 2:].mean()
    scale = max(np.ptp(toy.boxes[:, :2]), np.ptp(toy.boxes[:, 2:])) / 2
    for k, (i, j) in enumerate(np.asarray(pairs).tolist()):
        box = boxes[i].intersection(boxes[j])
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
        d = window(toy, i, box).astype(float) - window(toy, j, box).astype(float)
        ok = np.ones(d.shape, bool) if keep is None else keep[k]
        phi = np.stack([np.ones(ok.sum()), (x[ok] - cx) / scale, (y[ok] - cy) / scale][:q], axis=1)
        w = 1.0 if weights is None else np.sqrt(weights[k])
        row = np.zeros((len(phi), q * m))
        row[:, q * i : q * i + q] = phi * w
        row[:, q * j : q * j + q] = -phi * w
        rows.append(row)
        values.append(d[ok] * w)
    solution = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0].reshape(m, q)
    solution = solution - solution.mean(axis=0)
    out = np.zeros((m, 3))
    if slope:
        out[:, :2] = solution[:, 1:] / scale
    out[:, 2] = solution[:, 0] - out[:, 0] * cx - out[:, 1] * cy
    return out
