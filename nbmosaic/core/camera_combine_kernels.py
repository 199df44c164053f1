"""Compiled combination of the pieces of an exposure (see `nbmosaic.core.camera_combine`)."""

from __future__ import annotations

import numpy as np
from numba import njit

from nbmosaic._types import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

__all__ = ["add_rows", "bit_rows", "code_rows", "count_values", "finish_canvas", "finish_rows", "merge_rows", "paste_rows"]

_BAD, _EDGE, _GAP, _OUTSIDE = np.uint8(1), np.uint8(2), np.uint8(4), np.uint8(8)


@njit(cache=True, nogil=True)
def add_rows(
    data: Float32Array,
    flags: AnyArray,
    noise: Float32Array,
    with_noise: int,
    total: FloatArray,
    spread: FloatArray,
    count: AnyArray,
    clean: BoolArray,
    mask: AnyArray,
    prefer_clean: int,
) -> None:  # pragma: no cover - compiled
    """Add a piece to the rows of a band that it covers; all arrays have the shape of the piece there."""
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            value, flag = data[j, i], flags[j, i]
            if np.isnan(value):
                mask[j, i] |= flag
                continue
            if prefer_clean and flag != 0 and clean[j, i]:
                continue
            if prefer_clean and flag == 0 and not clean[j, i]:  # the first good value: what was there only stood in for it
                total[j, i] = value
                count[j, i] = 1
                if with_noise:
                    spread[j, i] = noise[j, i]
            else:
                total[j, i] += value
                count[j, i] += 1
                if with_noise:
                    spread[j, i] += noise[j, i]
            if flag == 0:
                clean[j, i] = True
            mask[j, i] |= flag


@njit(cache=True, nogil=True)
def finish_rows(
    total: FloatArray,
    spread: FloatArray,
    with_noise: int,
    count: AnyArray,
    clean: BoolArray,
    mask: AnyArray,
    limits: IntArray,
    blank: float,
    data: Float32Array,
    noise: Float32Array,
) -> int:  # pragma: no cover - compiled
    """Means of what was added, and the mask; returns the number of pixels with a value.

    ``limits`` holds the first column inside the outline of the exposure and the first one beyond it, for every row.
    """
    filled = 0
    for j in range(total.shape[0]):
        first, last = limits[j, 0], limits[j, 1]
        for i in range(total.shape[1]):
            n = count[j, i]
            if n == 0:
                data[j, i] = blank
                mask[j, i] = (mask[j, i] & _BAD) | (_GAP if first <= i < last else _OUTSIDE)
                if with_noise:
                    noise[j, i] = np.nan
                continue
            filled += 1
            data[j, i] = total[j, i] if n == 1 else total[j, i] / n
            if with_noise:
                noise[j, i] = spread[j, i] / (n * n)
            if clean[j, i]:
                mask[j, i] = 0
    return filled


@njit(cache=True, nogil=True)
def paste_rows(data: Float32Array, flags: AnyArray, out: Float32Array, mask: AnyArray) -> None:  # pragma: no cover - compiled
    """Write a piece over what is there."""
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            out[j, i] = data[j, i]
            mask[j, i] = flags[j, i]


@njit(cache=True, nogil=True)
def code_rows(
    values: AnyArray, data: Float32Array, blank_outside: int, blank: np.float32, codes: AnyArray
) -> None:  # pragma: no cover - compiled
    """Codes ``int(value / 10010 + 1)`` (0 where the value is 0) of interpolated masks; blanks the data of code 2."""
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            value = values[j, i]
            codes[j, i] = (value > 0) + (value >= 10010) + (value >= 20020) + (value >= 30030)
        if blank_outside:
            for i in range(values.shape[1]):
                if codes[j, i] == 2:
                    data[j, i] = blank


@njit(cache=True, nogil=True)
def bit_rows(plane: AnyArray, bit: int, bits: AnyArray) -> None:  # pragma: no cover - compiled
    """Set a bit where a plane is not 0."""
    for j in range(plane.shape[0]):
        for i in range(plane.shape[1]):
            bits[j, i] |= np.uint8(bit) if plane[j, i] > 0 else np.uint8(0)


@njit(cache=True, nogil=True)
def merge_rows(
    data: Float32Array,
    flags: AnyArray,
    noise: Float32Array,
    with_noise: int,
    column: int,
    canvas: Float32Array,
    spread: Float32Array,
    state: AnyArray,
    prefer_clean: int,
) -> tuple[int, int]:  # pragma: no cover - compiled
    """Merge a piece into whole rows of an image, which it meets from `column` on; returns its values, and those among them that are flagged as bad.

    ``state`` holds flags in bits 0 and 1, the number of values in bits 2 to 6, and in bit 7 whether they have no flag; ``canvas`` their mean.
    """
    values, bad = 0, 0
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            value, flag, k = data[j, i], flags[j, i], column + i
            now = state[j, k]
            if np.isnan(value):
                state[j, k] = now | flag
                continue
            values += 1
            bad += flag & 1
            if now == 0:  # the usual case: nothing is here yet
                canvas[j, k] = value
                if with_noise:
                    spread[j, k] = noise[j, i]
                state[j, k] = 4 | flag if flag != 0 else 132
                continue
            clean = now >= 128
            if prefer_clean and flag != 0 and clean:
                continue
            n = (now >> 2) & 31
            if prefer_clean and flag == 0 and not clean:  # the first good value: what was there only stood in for it
                n = 0
            canvas[j, k] = value if n == 0 else canvas[j, k] + (value - canvas[j, k]) / np.float32(n + 1)
            if with_noise:
                spread[j, k] = noise[j, i] if n == 0 else (spread[j, k] * (n * n) + noise[j, i]) / ((n + 1) * (n + 1))
            state[j, k] = (now & 3) | flag | ((n + 1) << 2) | (128 if clean or flag == 0 else 0)
    return values, bad


@njit(cache=True, nogil=True)
def finish_canvas(
    canvas: Float32Array, spread: Float32Array, with_noise: int, state: AnyArray, limits: IntArray, blank: float, counts: IntArray
) -> int:  # pragma: no cover - compiled
    """Turn states into masks, and fill what nothing was merged into; returns the number of pixels with a value, `counts` that of each mask."""
    filled = 0
    for j in range(canvas.shape[0]):
        first, last = limits[j, 0], limits[j, 1]
        for i in range(canvas.shape[1]):
            now = state[j, i]
            if now >= 128:
                filled += 1
                state[j, i] = 0
            elif now >= 4:
                filled += 1
                state[j, i] = now & 3
                counts[now & 3] += 1
            else:
                mask = (now & 1) | (4 if first <= i < last else 8)
                canvas[j, i] = blank
                if with_noise:
                    spread[j, i] = np.nan
                state[j, i] = mask
                counts[mask] += 1
    return filled


@njit(cache=True, nogil=True)
def count_values(data: Float32Array) -> int:  # pragma: no cover - compiled
    """Number of values that are not NaN."""
    found = 0
    for j in range(data.shape[0]):
        for i in range(data.shape[1]):
            found += not np.isnan(data[j, i])
    return found
