"""Output pixels cut as parallelograms, against frame pixels cut as polygons."""

from __future__ import annotations

import numpy as np
import pytest
from support.maps import frame_maps, rotation
from support.twins import square_overlap

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling import cut_kernels, exact
from nbmosaic.core.resampling.cutting import can_be_cut
from nbmosaic.core.resampling.resample import resample_frame
from nbmosaic.core.resampling.segments import map_segments
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

MATRICES = [
    np.eye(2),
    rotation(0.01),
    rotation(7),
    rotation(45, 1.41),
    rotation(90),
    rotation(-133, 0.3),
    [[-1.01, 0.3], [0.2, 0.6]],
    [[0.0, 1.2], [1.2, 0.0]],
    [[1.0, 0.4], [0.0, 1.0]],
]


@pytest.mark.parametrize("matrix", MATRICES)
def test_overlaps_of_random_places(matrix):
    """Each of the nine overlaps against a clipped polygon."""
    n = cut_kernels.LANES
    matrix = np.asarray(matrix, float)
    buf = np.zeros((15, n))
    buf[:2] = np.random.default_rng(3).random((2, n))
    buf[:2, :4] = [[0.0, 0.5, 0.0, 0.5], [0.0, 0.0, 0.5, 0.5]]  # lines through corners and along edges
    buf[2:4], buf[4:6] = matrix[:, :1], matrix[:, 1:]
    cut_kernels._overlaps(buf.ravel())
    for k in range(n):
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) @ matrix.T + buf[:2, k]
        polygon = [tuple(corner) for corner in corners]
        expected = [square_overlap(polygon, i, j) for j in (-1, 0, 1) for i in (-1, 0, 1)]
        np.testing.assert_allclose(buf[6:, k], np.array(expected) / abs(np.linalg.det(matrix)), atol=1e-7)
    np.testing.assert_allclose(buf[6:].sum(axis=0), 1, atol=1e-12)
    assert (buf[6:] >= 0).all()


@pytest.mark.parametrize("conserve", ["surface_brightness", "flux"])
@pytest.mark.parametrize("matrix", MATRICES)
def test_equals_polygons(matrix, conserve, monkeypatch):
    rng = np.random.default_rng(5)
    data, variance = rng.normal(100, 10, (61, 83)).astype(np.float32), rng.uniform(1, 3, (61, 83)).astype(np.float32)
    forward, backward = frame_maps((97, 131), data.shape, matrix, nudge=(0.3, -0.2))
    assert can_be_cut(map_segments(forward))
    pixels = FramePixels(data=data, variance=variance, weight=variance, mask=rng.random(data.shape) < 0.05)
    options = {"method": "exact", "conserve": conserve, "backward": backward}
    cut = resample_frame(pixels, forward, **options)
    monkeypatch.setattr(exact, "can_be_cut", lambda _: False)
    polygons = resample_frame(pixels, forward, **options)
    np.testing.assert_allclose(cut.area, polygons.area, atol=2e-6)
    both = (cut.area > 1e-3) & (polygons.area > 1e-3)
    assert both.sum() > 1000
    for name in ("data", "variance", "weight"):
        np.testing.assert_allclose(
            getattr(cut, name)[both], getattr(polygons, name)[both], rtol=1e-5 if name == "data" else 1e-4, err_msg=name
        )
    assert (np.isnan(cut.data) == (cut.area == 0)).all()


def test_on_the_grid_nothing_leaks():
    """A frame that lies on the grid comes out as it was: the brightest pixel leaves no trace in its neighbours."""
    data = np.zeros((40, 50), np.float32)
    data[20, 30] = 1e9
    for matrix in (np.eye(2), rotation(90), -np.eye(2)):
        forward, backward = frame_maps((54, 54), data.shape, matrix)
        found = resample_frame(FramePixels(data=data), forward, method="exact", backward=backward).data
        values = found[np.isfinite(found)]
        assert values.size == data.size
        assert sorted(values)[-2:] == [0.0, np.float32(1e9)]


def bent(curvature: float) -> PixelMap:
    """A map u = x + curvature / 2 x**2."""
    box = PixelBox(0, 60, 0, 60)
    half = 29.5
    c = np.zeros((2, 4, 4))
    c[0, 0, :3] = [half + curvature / 2 * (half**2 * 1.5), half + curvature * half**2, curvature / 4 * half**2]
    c[1, :2, 0] = half
    return PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, cu=c[0], cv=c[1]),), error_pix=0.0)


def test_what_is_not_cut():
    """Bent maps, tables, pixels that reach too far and folded maps go to the polygons."""
    assert can_be_cut(map_segments(bent(0.9e-5)))
    assert not can_be_cut(map_segments(bent(1.1e-5)))
    for matrix, expected in [(rotation(0, 1.99), True), (rotation(0, 2.01), False), (rotation(45, 1.42), False), ([[1, 1], [1, 1]], False)]:
        forward = frame_maps((40, 40), (40, 40), rotation(0))[0]
        patch = forward.patches[0]
        m = np.asarray(matrix, float) * 19.5
        c = np.zeros((2, 4, 4))
        c[:, 0, 0], c[:, 0, 1], c[:, 1, 0] = 20.0, m[:, 0], m[:, 1]
        turned = PixelMap(box=forward.box, offset=0.0, patches=(MapPatch(box=patch.box, cu=c[0], cv=c[1]),), error_pix=0.0)
        assert can_be_cut(map_segments(turned)) is expected, matrix
    y, x = np.mgrid[0:60, 0:60].astype(float)
    table = PixelMap(
        box=PixelBox(0, 60, 0, 60), offset=0.0, patches=(MapPatch(box=PixelBox(0, 60, 0, 60), table_u=x, table_v=y),), error_pix=0.0
    )
    assert not can_be_cut(map_segments(table))
    assert not can_be_cut([])


def test_curvature_costs_what_is_said(monkeypatch):
    """At the largest curvature that is cut, values are right to 1e-5 of the differences between pixels."""
    forward = bent(0.99e-5)
    data = np.random.default_rng(8).normal(0, 1, (60, 62)).astype(np.float32)
    # the inverse x = u - curvature / 2 u**2 + ..., at the corners of the frame's pixels, is written down by Newton's rule
    u = np.arange(63) - 0.5
    x = u.copy()
    for _ in range(20):
        x -= (x + 0.99e-5 / 2 * x**2 - u) / (1 + 0.99e-5 * x)
    box = PixelBox(0, 61, 0, 63)
    table_u, table_v = np.tile(x, (61, 1)), np.tile(np.arange(61)[:, None] - 0.5, (1, 63))
    corners = PixelMap(box=box, offset=-0.5, patches=(MapPatch(box=box, table_u=table_u, table_v=table_v),), error_pix=0.0)
    polygons = resample_frame(FramePixels(data=data), forward, method="exact", backward=corners)
    smooth = frame_maps((60, 60), data.shape, np.eye(2))[1]  # no table; not read where output pixels are cut
    cut = resample_frame(FramePixels(data=data), forward, method="exact", backward=smooth)
    inside = np.s_[2:-2, 2:-2]
    assert np.abs(cut.data - polygons.data)[inside].max() < 5e-5  # differences reach 5
    assert np.abs(cut.data - polygons.data)[inside].max() > 0
