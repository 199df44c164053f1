"""Standard errors of the background model, through the real resampling: the rms pull of every parameter is 1 within its noise."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.wcs import WCS

from nbmosaic.core.geometry.boxes import frame_box
from nbmosaic.core.geometry.pixmap import fit_pixel_map
from nbmosaic.core.matching.apply import centre_levels, sample_validity
from nbmosaic.core.matching.background import solve_background
from nbmosaic.core.matching.coverage import coverage_cells
from nbmosaic.core.matching.pairs import find_pairs
from nbmosaic.core.matching.planes import fit_overlap, stack_fits
from nbmosaic.core.resampling.resample import resample_frame
from nbmosaic.types import FramePixels

SIDE = 160
STEP = 2


def tan(x: float, y: float, rotation: float, scale: float = 1.0) -> WCS:
    """TAN frame of SIDE pixels whose centre is (x, y) arcsec from (150, 30)."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 30.0]
    c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    wcs.wcs.cd = scale / 3600 * np.array([[-c, s], [s, c]])
    centre = np.linalg.solve(wcs.wcs.cd * 3600, [-x, y])
    wcs.wcs.crpix = (SIDE + 1) / 2 - centre
    wcs.wcs.set()
    return wcs


def layout(overlap: float, seed: int) -> list[WCS]:
    """Nine frames, turned and shifted; corners are covered four times."""
    rng = np.random.default_rng(seed)
    pitch = SIDE * (1 - overlap)
    return [
        tan(
            (i % 3 - 1) * pitch + rng.uniform(-3, 3), (i // 3 - 1) * pitch + rng.uniform(-3, 3), rng.uniform(-6, 6), rng.uniform(0.95, 1.05)
        )
        for i in range(9)
    ]


def pulls(method: str, overlap: float, noises: np.ndarray, n: int, seed: int, *, naive: bool = False) -> np.ndarray:
    """Pulls of a, b, level of every frame over n realisations; naive: pixels taken as independent, pairs too."""
    grid = tan(0, 0, 0)
    frames = layout(overlap, seed)
    boxes = [frame_box(grid, wcs, (SIDE, SIDE)) for wcs in frames]
    maps = [fit_pixel_map(grid, wcs, box, (SIDE, SIDE)) for wcs, box in zip(frames, boxes, strict=True)]
    rows = np.array([[b.ymin, b.ymax, b.xmin, b.xmax] for b in boxes])
    pairs = find_pairs(rows)
    rng = np.random.default_rng(seed + 1)
    found = []
    for _ in range(n):
        projected = [
            resample_frame(FramePixels(data=rng.normal(100, s, (SIDE, SIDE)).astype(np.float32)), m, method=method)
            for m, s in zip(maps, noises, strict=True)
        ]
        fits = []
        for i, j in pairs:
            box = boxes[i].intersection(boxes[j])
            fits.append(
                fit_overlap(
                    projected[i].data[box.slices(boxes[i])],
                    projected[j].data[box.slices(boxes[j])],
                    box,
                    plus_index=int(i),
                    minus_index=int(j),
                    noise_gain=0.5 * (projected[i].noise_gain + projected[j].noise_gain),
                )
            )
        coarse = [sample_validity(p.data, p.box, STEP) for p in projected]
        cells = coverage_cells([mask for mask, _ in coarse], [box for _, box in coarse], STEP)
        planes = stack_fits(fits)
        if naive:
            planes, cells = planes.replace(noise_power=planes.rms**2), None
        model = solve_background(planes, 9, boxes=rows, errors=True, cells=cells)
        level, level_err = centre_levels(model, rows)
        found.append(np.column_stack([model.planes[:, 0] / model.stderr[:, 0], model.planes[:, 1] / model.stderr[:, 1], level / level_err]))
    return np.array(found)


@pytest.mark.parametrize(
    ("method", "overlap", "spread"),
    [
        pytest.param("spline", 0.2, 1.0, id="spline"),
        pytest.param("bilinear", 0.5, 1.0, id="bilinear, half overlapping", marks=pytest.mark.slow),
        pytest.param("bilinear", 0.2, 1.0, id="bilinear", marks=pytest.mark.slow),
        pytest.param("spline", 0.3, 3.0, id="unequal noise", marks=pytest.mark.slow),
        pytest.param("lanczos3", 0.2, 1.0, id="lanczos3", marks=pytest.mark.slow),
        pytest.param("area", 0.2, 1.0, id="area", marks=pytest.mark.slow),
    ],
)
def test_rms_pull_is_one(method: str, overlap: float, spread: float) -> None:
    noises = 5.0 * spread ** np.linspace(-0.5, 0.5, 9)
    found = pulls(method, overlap, noises, 200, 11)
    rms = np.sqrt(np.mean(found**2, axis=(0, 1)))
    # 200 x 9 pulls, of which about 200 x 3 are independent: the rms is known to 3 per cent
    assert np.all((rms > 0.9) & (rms < 1.1)), rms
    # no frame is an exception that the mean hides
    each = np.sqrt(np.mean(found**2, axis=0))
    assert np.all((each > 0.75) & (each < 1.25)), each


def test_naive_errors_would_be_too_small() -> None:
    """What the model knows and a plain least-squares covariance does not: resampling correlates pixels, and pairs share frames."""
    honest = np.sqrt(np.mean(pulls("bilinear", 0.5, np.full(9, 5.0), 40, 5) ** 2))
    naive = np.sqrt(np.mean(pulls("bilinear", 0.5, np.full(9, 5.0), 40, 5, naive=True) ** 2))
    assert honest < 1.15
    assert naive > 1.4
