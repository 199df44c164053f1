"""Area and exact resampling against polygons cut one by one, their sums, and each other."""

from __future__ import annotations

import numpy as np
import pytest
from support.maps import corner_map, frame_maps, positions, rotation
from support.twins import area_twin, square_overlap

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling import areas
from nbmosaic.core.resampling.overlap_area import phase_table
from nbmosaic.core.resampling.resample import resample_frame
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

MATRICES = [rotation(7), rotation(-40, 0.35), rotation(15, 1.6), rotation(200, 3.3), [[-1.01, 0.3], [0.2, 0.6]], rotation(30, 6.5)]


def sky(shape, seed=1):
    rng = np.random.default_rng(seed)
    return rng.normal(100, 10, shape).astype(np.float32), rng.uniform(1, 3, shape).astype(np.float32), rng.random(shape) > 0.03


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("way", ["table", "direct", "exact"])
def test_equals_polygons_cut_one_by_one(matrix, way, monkeypatch):
    monkeypatch.setattr(areas, "_SMALLEST_TABLE", 1 if way == "table" else 10**9)
    data, variance, good = sky((48, 56))
    forward, backward = frame_maps((50, 60), data.shape, matrix, nudge=(0.3, -0.2))
    method = "exact" if way == "exact" else "area"
    pixels = FramePixels(data=data, variance=variance, weight=variance, mask=~good)
    found = resample_frame(pixels, forward, method=method, backward=backward)
    u, v = positions(forward)
    near = np.argwhere((u > -2) & (u < 57) & (v > -2) & (v < 49))
    rows, columns = near[:: max(1, len(near) // 250)].T
    expected = np.array([area_twin(data, good, (u[j, i], v[j, i]), matrix, variance) for j, i in zip(rows, columns, strict=True)])
    area = found.area[rows, columns]
    step = (
        1.0 / areas._PHASES[areas._reach(np.asarray(matrix))] if way == "table" and areas._reach(np.asarray(matrix)) in areas._PHASES else 0
    )
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    blank = np.where(expected[:, 1] < 0.01, 1e-3, 0)
    assert (np.abs(area - expected[:, 1]) < 2e-6 + 0.8 * step / min(1, scale) + blank).all()
    seen = (expected[:, 1] > 0.05) & (area > 0.05)
    assert seen.sum() > 20
    # a table puts the centre of a pixel right to half a phase, of an image with noise of 10 a pixel
    difference = np.abs(found.data[rows, columns] - expected[:, 0])[seen]
    assert (difference * expected[seen, 1]).max() < 1e-4 + 25 * step / min(1, scale)
    if step == 0:
        np.testing.assert_allclose(found.variance[rows, columns][seen], expected[seen, 2], rtol=1e-4)
    else:
        assert np.median(np.abs(found.variance[rows, columns][seen] / expected[seen, 2] - 1)) < 2 * step
    assert (found.area == 0).sum() == np.isnan(found.data).sum()


@pytest.mark.parametrize("matrix", MATRICES[:4])
def test_entries_of_the_table(matrix):
    matrix = np.asarray(matrix, float)
    reach, phases = areas._reach(matrix), 16
    taps = 2 * reach + 1
    table = np.empty((phases + 1, phases + 1, taps**2), np.float32)
    phase_table(matrix, phases, taps, table, np.empty(((taps + 1) * phases + 1,) * 2))
    np.testing.assert_allclose(table.sum(axis=2), 1, atol=1e-6)
    rng = np.random.default_rng(2)
    for kv, ku in rng.integers(0, phases + 1, (12, 2)):
        corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]) @ matrix.T + [ku / phases, kv / phases]
        polygon = [tuple(corner) for corner in corners]
        expected = [square_overlap(polygon, i, j) for j in range(-reach, reach + 1) for i in range(-reach, reach + 1)]
        np.testing.assert_allclose(table[kv, ku], np.array(expected) / abs(np.linalg.det(matrix)), atol=1e-6)


@pytest.mark.parametrize("method", ["area", "exact"])
@pytest.mark.parametrize("matrix", MATRICES[:5])
def test_flux_is_conserved(method, matrix):
    data, _, good = sky((40, 44), 4)
    scale = np.sqrt(abs(np.linalg.det(matrix)))
    n = int(80 / scale) + 6
    forward, backward = frame_maps((n, n), data.shape, matrix, nudge=(0.3, -0.2))
    found = resample_frame(FramePixels(data=data, mask=~good), forward, method=method, conserve="flux", backward=backward)
    total = np.nansum(found.data.astype(float) * found.area)
    # the area method loses by the phases along the frame's outline and where overlaps are below 0.001
    assert total == pytest.approx(data[good].sum(dtype=float), rel=2e-6 if method == "exact" else 1e-3)
    plain = resample_frame(FramePixels(data=data, mask=~good), forward, method=method, backward=backward)
    np.testing.assert_allclose(found.data, plain.data * abs(np.linalg.det(matrix)), rtol=1e-4)


def test_star_flux_of_the_area_method():
    y, x = np.mgrid[0:64, 0:64]
    data = (1e4 * np.exp(-0.5 * ((x - 31.3) ** 2 + (y - 30.8) ** 2) / 1.3**2)).astype(np.float32)
    forward, _ = frame_maps((80, 80), data.shape, rotation(9, 0.97))
    found = resample_frame(FramePixels(data=data), forward, method="area", conserve="flux")
    assert np.nansum(found.data.astype(float)) == pytest.approx(data.sum(dtype=float), rel=2e-5)


@pytest.mark.parametrize("method", ["area", "exact"])
def test_constant_and_whole_coverage(method):
    data = np.full((40, 44), -77.7, np.float32)
    forward, backward = frame_maps((60, 60), data.shape, rotation(17, 0.9))
    found = resample_frame(FramePixels(data=data), forward, method=method, backward=backward)
    assert np.nanmax(np.abs(found.data / data[0, 0] - 1)) < 1e-6
    u, v = positions(forward)
    inside = (u > 0.5) & (u < 42.5) & (v > 0.5) & (v < 38.5)
    np.testing.assert_allclose(found.area[inside], 1, atol=2e-6)
    assert ((found.area > 0.002) & (found.area < 0.998)).sum() > 100
    # every pixel of the frame is somewhere
    assert found.area.sum(dtype=float) * 0.9**2 == pytest.approx(data.size, rel=1e-3)


@pytest.mark.parametrize("method", ["area", "exact"])
def test_identity(method):
    data, variance, _ = sky((30, 20))
    forward, backward = frame_maps((30, 20), data.shape, np.eye(2))
    found = resample_frame(FramePixels(data=data, variance=variance, weight=variance), forward, method=method, backward=backward)
    np.testing.assert_allclose(found.data, data, rtol=1e-6)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-6)
    np.testing.assert_allclose(found.weight, variance, rtol=1e-6)
    np.testing.assert_allclose(found.area, 1, atol=1e-6)
    assert found.noise_gain == pytest.approx(1)


def distorted(box: PixelBox, strength: float) -> PixelMap:
    """Rotation with a distortion whose derivative changes by about ``strength`` over the box."""
    ny, nx = box.shape
    c = np.zeros((2, 4, 4))
    matrix = rotation(5)
    c[0, 0, 0] = c[1, 0, 0] = 150
    c[0, 0, 1], c[0, 1, 0] = matrix[0, 0] * (nx - 1) / 2, matrix[0, 1] * (ny - 1) / 2
    c[1, 0, 1], c[1, 1, 0] = matrix[1, 0] * (nx - 1) / 2, matrix[1, 1] * (ny - 1) / 2
    c[0, 0, 2] = c[1, 2, 0] = strength * nx / 8
    return PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, cu=c[0], cv=c[1]),), error_pix=0.0)


@pytest.mark.parametrize("strength", [0.01, 0.15, 0.6])
def test_distorted_maps_are_cut_in_blocks(strength, monkeypatch):
    data, _, _ = sky((300, 300))
    forward = distorted(PixelBox(-10, 290, 5, 300), strength)
    monkeypatch.setattr(areas, "_SMALLEST_TABLE", 4096)
    blocks = [part for s in areas_segments(forward) for part in areas._blocks(s, PixelBox.of_shape(s.box.shape))]
    tables = sum(jacobian is not None for _, jacobian in blocks)
    assert {0.01: tables == 1, 0.15: tables > 3, 0.6: tables == 0}[strength]
    assert sum(block.size for block, _ in blocks) == forward.box.size
    found = resample_frame(FramePixels(data=data), forward, method="area")
    monkeypatch.setattr(areas, "_SMALLEST_TABLE", 10**9)
    direct = resample_frame(FramePixels(data=data), forward, method="area")
    both = (found.area > 0.999) & (direct.area > 0.999)
    assert np.sqrt(np.mean((found.data - direct.data)[both] ** 2)) < 0.13  # noise of 10 a pixel
    np.testing.assert_allclose(found.area, direct.area, atol=0.03)


def areas_segments(forward):
    from nbmosaic.core.resampling.segments import map_segments

    return map_segments(forward)


@pytest.mark.parametrize("conserve", ["surface_brightness", "flux"])
def test_tables_of_positions(conserve):
    data, variance, good = sky((40, 44))
    matrix = rotation(12, 0.8)
    forward, _ = frame_maps((60, 60), data.shape, matrix)
    y, x = np.mgrid[0:60, 0:60]
    v, u = forward.evaluate(y, x)
    patches = []
    for x0, x1 in ((0, 1), (1, 30), (31, 60)):  # one column wide, and one column in no patch
        patches.append(MapPatch(box=PixelBox(0, 60, x0, x1), table_u=u[:, x0:x1].copy(), table_v=v[:, x0:x1].copy()))
    tables = PixelMap(box=forward.box, offset=0.0, patches=tuple(patches), error_pix=0.0)
    pixels = FramePixels(data=data, variance=variance, weight=variance, mask=~good)
    found = resample_frame(pixels, tables, method="area", conserve=conserve)
    expected = resample_frame(pixels, forward, method="area", conserve=conserve)
    rest = np.arange(60) != 30
    np.testing.assert_allclose(found.area[:, rest], expected.area[:, rest], atol=1e-5)
    both = rest & (found.area > 0.01) & (expected.area > 0.01)
    np.testing.assert_allclose(found.data[both], expected.data[both], rtol=1e-5)
    np.testing.assert_allclose(found.variance[both], expected.variance[both], rtol=1e-4)
    assert (found.area[:, 30] == 0).all()
    assert np.isnan(found.data[:, 30]).all()
    assert (found.weight[:, 30] == 0).all()


def test_exact_leaves_out_seams_and_undefined_corners():
    data = np.ones((10, 40), np.float32)
    y, x = np.mgrid[0:11, 0:41]
    u = (x - 0.5 + 30) % 40 - 0.5  # wraps round inside the frame: one column of pixels spans the whole grid backwards
    v = y - 0.5
    v = np.where((x == 5) & (y == 5), np.nan, v)
    backward = PixelMap(
        box=PixelBox(0, 11, 0, 41), offset=-0.5, patches=(MapPatch(box=PixelBox(0, 11, 0, 41), table_u=u, table_v=v),), error_pix=0.0
    )
    forward, _ = frame_maps((10, 40), (10, 40), np.eye(2))
    found = resample_frame(FramePixels(data=data), forward, method="exact", backward=backward)
    assert found.area.sum(dtype=float) == pytest.approx(10 * 39 - 4, abs=1e-4)


@pytest.mark.parametrize("method", ["area", "exact"])
@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1), (2, 3)])
def test_small_frames(method, shape):
    data = np.arange(1, 1 + shape[0] * shape[1], dtype=np.float32).reshape(shape)
    forward, backward = frame_maps((14, 14), shape, rotation(8, 0.9))
    found = resample_frame(FramePixels(data=data), forward, method=method, conserve="flux", backward=backward)
    assert np.nansum(found.data.astype(float) * found.area) == pytest.approx(data.sum(), rel=0.01)


def test_flux_of_a_corner_map_that_is_not_affine():
    data, _, _ = sky((30, 30))
    y, x = np.mgrid[0:31, 0:31] - 0.5
    u, v = 1.1 * x + 0.003 * x**2 + 0.1 * y + 4, 0.9 * y + 0.002 * x * y + 3
    box = PixelBox(0, 31, 0, 31)
    backward = PixelMap(box=box, offset=-0.5, patches=(MapPatch(box=box, table_u=u, table_v=v),), error_pix=0.0)
    forward, _ = frame_maps((50, 50), (30, 30), np.eye(2))
    found = resample_frame(FramePixels(data=data), forward, method="exact", conserve="flux", backward=backward)
    assert np.nansum(found.data.astype(float) * found.area) == pytest.approx(data.sum(dtype=float), rel=1e-6)


def test_corner_map_of_the_support_code():
    matrix, shift = rotation(20, 1.3), np.array([3.0, -2.0])
    v, u = corner_map(matrix, shift, (5, 6)).evaluate(np.array([0]), np.array([0]))
    np.testing.assert_allclose(matrix @ np.array([u[0], v[0]]) + shift, [-0.5, -0.5], atol=1e-12)
