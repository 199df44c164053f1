"""The public function: errors, empty boxes, flux, accuracy on a sky that is known, agreement with reproject."""

from __future__ import annotations

import numpy as np
import pytest
from support.maps import affine_map, frame_maps, positions, rotation

from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap, fit_pixel_map
from nbmosaic.core.resampling.resample import METHODS, Workspace, resample_frame, warmup
from nbmosaic.core.resampling.taps import POINT_METHODS
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types.box import PixelBox
from nbmosaic.types.frame import FramePixels

SIGMA = 1.3  # of stars, in pixels


def smooth(x, y):
    return 25 + 20 * np.sin(2 * np.pi * x / 90) * np.cos(2 * np.pi * y / 130)


def stars(x, y, seed=4, n=40, size=200):
    """Gaussian stars all over a square, and beyond its edges."""
    rng = np.random.default_rng(seed)
    found = np.zeros(np.broadcast(x, y).shape)
    for x0, y0, flux in zip(rng.uniform(-9, size + 9, n), rng.uniform(-9, size + 9, n), 10 ** rng.uniform(3, 4, n), strict=True):
        found += flux / (2 * np.pi * SIGMA**2) * np.exp(-0.5 * ((x - x0) ** 2 + (y - y0) ** 2) / SIGMA**2)
    return found


def sky_frame(matrix, nudge, shape=(200, 200), out=(180, 190)):
    """Frame of a sky that is a function of the frame's own pixels, its maps, and the truth on the grid."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    data = (smooth(x, y) + stars(x, y)).astype(np.float32)
    forward, backward = frame_maps(out, shape, matrix, nudge=nudge)
    u, v = positions(forward)
    return data, forward, backward, smooth(u, v) + stars(u, v)


def rms(values):
    return float(np.sqrt(np.mean(np.asarray(values, float) ** 2)))


def test_accuracy_on_a_known_sky():
    # the figures of a large field (rms 0.049, 0.089, 0.797 and 0.797) in units of the bilinear one; edges included
    data, forward, backward, truth = sky_frame(rotation(5), (0.21, -0.4))
    errors = {}
    for method in ("bilinear", "spline", "lanczos3", "area", "exact"):
        frame = resample_frame(FramePixels(data=data), forward, method=method, backward=backward)
        seen = np.isfinite(frame.data) if frame.area is None else frame.area > 0.999
        errors[method] = rms((frame.data - truth)[seen])
        assert (frame.data - truth)[seen].sum() == pytest.approx(0, abs=3e-4 * truth[seen].sum())
    assert errors["spline"] < 0.065 * errors["bilinear"]
    assert errors["lanczos3"] < 0.115 * errors["bilinear"]
    assert errors["area"] == pytest.approx(errors["bilinear"], rel=0.05)
    assert errors["exact"] == pytest.approx(errors["area"], rel=0.01)


@pytest.mark.parametrize("method", ["bilinear", "spline", "lanczos3", "area", "exact"])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_flux_of_a_star(method, scale):
    y, x = np.mgrid[0:60, 0:60]
    data = (1e4 / (2 * np.pi * 2.0**2) * np.exp(-0.5 * ((x - 29.3) ** 2 + (y - 30.2) ** 2) / 2.0**2)).astype(np.float32)
    forward, backward = frame_maps((100, 100), data.shape, rotation(13, scale), nudge=(0.2, 0.1))
    frame = resample_frame(FramePixels(data=data), forward, method=method, conserve="flux", backward=backward)
    assert np.nansum(frame.data.astype(float)) == pytest.approx(
        1e4, rel=2e-4 if method == "lanczos3" else 3e-5
    )  # kernels are not band-limited


@pytest.mark.parametrize("method", METHODS)
def test_flux_is_surface_brightness_times_area(method):
    data, forward, backward, _ = sky_frame(rotation(5, 1.4), (0.2, 0.1), out=(100, 100))
    variance = np.full_like(data, 3)
    plain = resample_frame(FramePixels(data=data, variance=variance), forward, method=method, backward=backward)
    flux = resample_frame(FramePixels(data=data, variance=variance), forward, method=method, conserve="flux", backward=backward)
    np.testing.assert_allclose(flux.data, plain.data * np.float32(1.96), rtol=2e-5)
    np.testing.assert_allclose(flux.variance, plain.variance * np.float32(1.96**2), rtol=2e-5)


def test_area_of_output_pixels_of_a_distorted_map():
    # flux per output pixel of a constant sky is the pixel's own area on the frame
    box = PixelBox(5, 65, 10, 60)
    y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
    ty, tx = 2 * (y - 5) / 59 - 1, 2 * (x - 10) / 49 - 1
    c = np.zeros((2, 4, 4))
    c[0, 0, :3], c[1, :3, 0], c[1, 1, 1] = (30, 25, 2), (30, 26, -1.5), 0.7
    polynomial = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, cu=c[0], cv=c[1]),), error_pix=0.0)
    u_x = (25 + 2 * 4 * tx) * 2 / 49
    v_y = (26 - 1.5 * 4 * ty + 0.7 * tx) * 2 / 59
    data = np.ones((64, 64), np.float32)
    found = resample_frame(FramePixels(data=data), polynomial, method="bilinear", conserve="flux").data
    seen = np.isfinite(found)
    np.testing.assert_allclose(found[seen], (u_x * v_y)[seen], rtol=1e-5)
    v, u = polynomial.evaluate(y, x)
    table = PixelMap(box=box, offset=0.0, patches=(MapPatch(box=box, table_u=u, table_v=v),), error_pix=0.0)
    found = resample_frame(FramePixels(data=data), table, method="bilinear", conserve="flux").data
    np.testing.assert_allclose(found[1:-1, 1:-1][seen[1:-1, 1:-1]], (u_x * v_y)[1:-1, 1:-1][seen[1:-1, 1:-1]], rtol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_empty_boxes_and_maps_without_patches(method):
    data = np.ones((5, 6), np.float32)
    corners = affine_map(PixelBox(0, 6, 0, 7), np.eye(2), (100, 100), offset=-0.5)
    for box in (PixelBox(0, 0, 0, 5), PixelBox(3, 3, 2, 2), PixelBox(0, 4, 0, 3)):
        nothing = PixelMap(box=box, offset=0.0, patches=(), error_pix=0.0)
        found = resample_frame(FramePixels(data=data, weight=data, variance=data), nothing, method=method, backward=corners)
        assert found.data.shape == box.shape
        assert np.isnan(found.data).all()
        assert (found.weight == 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_map_that_misses_the_frame(method):
    data = np.ones((5, 6), np.float32)
    forward, backward = frame_maps((8, 8), data.shape, rotation(3), nudge=(200, 50))
    found = resample_frame(FramePixels(data=data), forward, method=method, backward=backward)
    assert np.isnan(found.data).all()


def test_result_carries_box_and_map_error():
    box = PixelBox(-7, 3, 4, 9)
    plain = affine_map(box, np.eye(2), (0, 8))
    forward = PixelMap(box=box, offset=0.0, patches=plain.patches, error_pix=3e-5)
    found = resample_frame(FramePixels(data=np.ones((12, 12), np.float32)), forward)
    assert found.box == box
    assert found.map_error_pix == 3e-5
    assert found.data.dtype == np.float32


def test_arrays_are_fresh_without_a_workspace_and_views_with_one():
    data = np.ones((12, 12), np.float32)
    forward = affine_map(PixelBox(0, 12, 0, 12), np.eye(2), (0, 0))
    one, two = (resample_frame(FramePixels(data=data), forward).data for _ in range(2))
    assert not np.shares_memory(one, two)
    workspace = Workspace()
    one, two = (resample_frame(FramePixels(data=data), forward, workspace=workspace).data for _ in range(2))
    assert np.shares_memory(one, two)


def test_errors_say_what_and_where():
    data = np.ones((12, 12), np.float32)
    forward = affine_map(PixelBox(0, 12, 0, 12), np.eye(2), (0, 0))
    with pytest.raises(ConfigError, match=r"unknown resampling method 'cubic'.*spline"):
        resample_frame(FramePixels(data=data), forward, method="cubic")
    with pytest.raises(ConfigError, match="conserve cannot be 'area'"):
        resample_frame(FramePixels(data=data), forward, conserve="area")
    with pytest.raises(ShapeError, match=r"weight plane has shape \(3, 4\)"):
        resample_frame(FramePixels(data=data, weight=np.ones((3, 4), np.float32)), forward)
    with pytest.raises(ShapeError, match="two axes"):
        resample_frame(FramePixels(data=data[None]), forward)
    with pytest.raises(InputError, match="backward="):
        resample_frame(FramePixels(data=data), forward, method="exact")


def test_other_layouts_and_types_give_the_same():
    data = np.random.default_rng(1).normal(0, 1, (20, 24)).astype(np.float32)
    forward, _ = frame_maps((22, 22), data.shape, rotation(5))
    reference = resample_frame(FramePixels(data=data), forward).data
    for other in (np.asfortranarray(data), data.astype(">f4"), data.astype(np.float64), np.pad(data, 3)[3:-3, 3:-3]):
        assert np.array_equal(resample_frame(FramePixels(data=other), forward).data, reference, equal_nan=True)


def test_warmup_compiles_what_is_used():
    from nbmosaic.core.resampling import cut_kernels, fill, kernels, overlap_area
    from nbmosaic.core.resampling import prefilter as spline

    warmup()
    used = [kernels.nearest, kernels.linear, kernels.coverage, kernels.taps4, kernels.taps8, kernels.phase_area, spline.prefilter]
    used += [fill.copy_count, fill.mark_good, fill.mark_solid, fill.zero_bad, fill.fill_bad, fill.extend_edges, fill.blank]
    used += [overlap_area.phase_table, overlap_area.direct_area, overlap_area.scatter_area, cut_kernels.cut_area]
    before = [len(kernel.signatures) for kernel in used]
    assert min(before) >= 1
    data, forward, backward, _ = sky_frame(rotation(5), (0.21, -0.4))
    data.flags.writeable = False
    v, u = forward.evaluate(*np.mgrid[0:180, 0:190])
    table = PixelMap(box=forward.box, offset=0.0, patches=(MapPatch(box=forward.box, table_u=u, table_v=v),), error_pix=0.0)
    for method in METHODS:
        for mask in (None, data > 60):
            resample_frame(FramePixels(data=data, mask=mask, weight=data, variance=data), forward, method=method, backward=backward)
            resample_frame(FramePixels(data=data, mask=mask), table, method=method, backward=backward)
    assert [len(kernel.signatures) for kernel in used] == before


def wcs_pair():
    from astropy.wcs import WCS

    grid, frame = WCS(naxis=2), WCS(naxis=2)
    for wcs, turn, size in ((grid, 0.0, 90), (frame, 6.0, 80)):
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crval = [150.0, 32.0] if wcs is grid else [150.001, 32.0005]
        wcs.wcs.crpix = [size / 2, size / 2]
        angle = np.deg2rad(turn)
        wcs.wcs.cd = np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / 3600
        wcs.wcs.set()
    return grid, frame


@pytest.mark.peer
def test_exact_and_area_agree_with_reproject():
    reproject = pytest.importorskip("reproject")
    grid, frame = wcs_pair()
    y, x = np.mgrid[0:80, 0:80]
    data = (smooth(x, y) + stars(x, y, size=80, n=6)).astype(np.float32)
    theirs, footprint = reproject.reproject_exact((data.astype(float), frame), grid, shape_out=(90, 90), parallel=False)
    box = PixelBox(0, 90, 0, 90)
    forward = fit_pixel_map(grid, frame, box, (80, 80))
    backward = fit_pixel_map(frame, grid, PixelBox(0, 81, 0, 81), (90, 90), offset=-0.5)
    exact = resample_frame(FramePixels(data=data), forward, method="exact", backward=backward)
    whole = footprint > 0.999
    assert whole.sum() > 5000
    assert rms((exact.data - theirs)[whole]) < 1e-3
    np.testing.assert_allclose(exact.area, footprint, atol=1e-3)
    area = resample_frame(FramePixels(data=data), forward, method="area")
    # stars of this crowded field have 20 times the power of a typical one
    assert rms((area.data - theirs)[whole]) < 0.05 * max(1.0, np.ptp(data[whole[:80, :80]]) / 1000)
    np.testing.assert_allclose(area.area, footprint, atol=0.02)


@pytest.mark.peer
def test_bilinear_agrees_with_reproject():
    reproject = pytest.importorskip("reproject")
    grid, frame = wcs_pair()
    data = np.random.default_rng(1).normal(0, 1, (80, 80)).astype(np.float32)
    theirs, _ = reproject.reproject_interp((data.astype(float), frame), grid, shape_out=(90, 90), order="bilinear")
    forward = fit_pixel_map(grid, frame, PixelBox(0, 90, 0, 90), (80, 80))
    ours = resample_frame(FramePixels(data=data), forward, method="bilinear").data
    np.testing.assert_allclose(ours[np.isfinite(ours)], theirs[np.isfinite(ours)], atol=2e-4)


@pytest.mark.parametrize("method", POINT_METHODS)
def test_map_fitted_to_a_wcs(method):
    grid, frame = wcs_pair()
    y, x = np.mgrid[0:80, 0:80]
    data = smooth(x, y).astype(np.float32)
    forward = fit_pixel_map(grid, frame, PixelBox(-10, 95, -5, 100), (80, 80))
    found = resample_frame(FramePixels(data=data), forward, method=method)
    yy, xx = np.mgrid[-10:95, -5:100]
    u, v = frame.wcs_world2pix(*grid.wcs_pix2world(xx.ravel(), yy.ravel(), 0), 0)
    expected = smooth(u, v).reshape(yy.shape)
    seen = np.isfinite(found.data)
    limit = {"nearest": 1.2, "bilinear": 0.04, "spline": 5e-3, "lanczos3": 0.05}[method]
    assert np.abs(found.data - expected)[seen].max() < limit
    inside = ((u > 0.1) & (u < 78.9) & (v > 0.1) & (v < 78.9)).reshape(yy.shape)
    assert seen[inside].all()
