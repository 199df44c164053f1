"""Interpolants of pieces: slow twins, invariants, bad pixels, variance."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.interpolate import BarycentricInterpolator, CubicSpline

from nbmosaic.core.geometry.fitted_map import evaluate, fit_surface_map, pixel_map
from nbmosaic.core.geometry.pixmap import MapPatch, PixelMap
from nbmosaic.core.resampling.pieces import resample_piece
from nbmosaic.core.resampling.workspace import Workspace
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types import PixelBox
from nbmosaic.types.camera import Interpolant
from nbmosaic.types.frame import FramePixels
from tests.support.twins import square_overlap

NAMES = [
    "nearest",
    "linear",
    "poly3",
    "poly5",
    "spline3",
    "sinc",
    "sinc7",
    "lsinc",
    "lsinc15[10]",
    "lsinc7[0.2]",
    "drizzle",
    "drizzle[0.5]",
]
SHAPE = (40, 46)


def simulated(seed: int = 1, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).normal(500.0, 50.0, shape).astype(np.float32)


def curved_map(shape=SHAPE, scale: float = 0.97, angle: float = 0.15):
    """A map with rotation and distortion, whose output box reaches beyond the image."""
    y, x = (a.ravel() * s for a, s in zip(np.mgrid[-0.1:1.1:7j, -0.1:1.1:7j], shape, strict=True))
    dx, dy = (x - shape[1] / 2) * scale, (y - shape[0] / 2) * scale
    u = dx * np.cos(angle) - dy * np.sin(angle) + 1e-4 * dx * dx * dy / 20 + shape[1] / 2
    v = dx * np.sin(angle) + dy * np.cos(angle) - 1e-4 * dy**3 / 20 + shape[0] / 2
    return fit_surface_map(np.column_stack([x, y]), np.column_stack([u, v]))


def shift_map(dy: float, dx: float, box: PixelBox) -> PixelMap:
    corners = np.array([[0.0, 0], [9, 0], [0, 9], [9, 9]])
    return pixel_map(fit_surface_map(corners, corners + np.array([dx, dy]), geometry="shift"), box)


def padded(image: np.ndarray, pad: int, boundary: str, constant: float = 0.0) -> np.ndarray:
    if boundary == "constant":
        return np.pad(image.astype(float), pad, constant_values=constant)
    return np.pad(image.astype(float), pad, mode={"nearest": "edge", "reflect": "reflect", "wrap": "wrap"}[boundary])


def axis_weights(kernel: Interpolant, x: float, n: int) -> np.ndarray:
    """Weights of the n samples of an axis at position x, from the definitions."""
    row = np.zeros(n)
    i = int(np.floor(x))
    if kernel.kind == "nearest":
        row[int(np.floor(x + 0.5))] = 1
    elif kernel.kind == "spline3":
        lo, hi = max(0, i - 30), min(n, i + 31)
        row[lo:hi] = CubicSpline(np.arange(lo, hi), np.eye(hi - lo), bc_type="natural")(x)
    elif kernel.kind in ("linear", "poly3", "poly5"):
        nodes = np.arange(i - kernel.taps // 2 + 1, i + kernel.taps // 2 + 1)
        row[nodes] = BarycentricInterpolator(nodes - i, np.eye(len(nodes)))(x - i)
    else:
        centre, half = int(np.floor(x + 0.5)), kernel.taps // 2
        d = x - centre
        if kernel.kind == "lsinc":
            d = kernel.shift if kernel.shift is not None else 0.5 - np.floor((0.5 - d) * kernel.steps + 0.5) / kernel.steps
        j = np.arange(-half, half + 1)
        q = (np.pi * j / (2 * half)) ** 2
        if abs(d) < 1e-12:
            row[centre] = 1
        else:
            w = (-1.0) ** np.abs(j) * (1 - 0.49670 * q + 0.03705 * q * q) ** 2 / (d - j)
            row[centre + j] = w / w.sum()
    return row


def overlaps(kernel: Interpolant, corners: np.ndarray, shape) -> np.ndarray:
    """Areas of the shrunk pixels of an image inside a quadrilateral of corners (4, 2) in x, y."""
    out = np.zeros(shape)
    p = kernel.pixfrac
    low, high = np.floor(corners.min(axis=0) + 0.5).astype(int), np.floor(corners.max(axis=0) + 0.5).astype(int)
    for j in range(low[1], high[1] + 1):
        for i in range(low[0], high[0] + 1):
            out[j, i] = square_overlap([tuple(c) for c in (corners - [i, j]) / p + 0.5], 0, 0) * p * p
    return out


def weights_at(kernel: Interpolant, fitted, y: int, x: int, shape, pad: int) -> np.ndarray:
    """Weights of the pixels of a padded image in one output pixel."""
    if kernel.kind == "drizzle":
        at = [(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)]
        corners = np.array([[float(c) + pad for c in evaluate(fitted, y + dy, x + dx)[::-1]] for dy, dx in at])
        found = overlaps(kernel, corners, shape)
        return found / found.sum()
    v, u = (float(c) + pad for c in evaluate(fitted, y, x))
    return np.outer(axis_weights(kernel, v, shape[0]), axis_weights(kernel, u, shape[1]))


@pytest.mark.parametrize("boundary", ["constant", "nearest", "reflect", "wrap"])
@pytest.mark.parametrize("name", NAMES)
def test_slow_twin(name: str, boundary: str) -> None:
    kernel, fitted, pad = Interpolant.parse(name), curved_map(), 34
    image = simulated()
    box = PixelBox(-3, SHAPE[0] + 3, -3, SHAPE[1] + 3)
    ours = resample_piece(FramePixels(data=image), pixel_map(fitted, box), interpolant=kernel, boundary=boundary, constant=300.0).data
    around = padded(image, pad, boundary, 300.0)
    rng = np.random.default_rng(2)
    for y, x in np.column_stack([rng.integers(0, box.shape[0], 60), rng.integers(0, box.shape[1], 60)]):
        truth = (weights_at(kernel, fitted, y + box.ymin, x + box.xmin, around.shape, pad) * around).sum()
        assert ours[y, x] == pytest.approx(truth, abs=2e-3), (y, x)


@pytest.mark.parametrize("name", NAMES)
def test_variance_and_exclusion_have_the_true_weights(name: str) -> None:
    kernel, fitted, pad = Interpolant.parse(name), curved_map(), 34
    rng = np.random.default_rng(3)
    image, variance = simulated(), rng.uniform(1, 4, SHAPE).astype(np.float32)
    bad = rng.random(SHAPE) < 0.04
    image[bad] = 1e6
    box = PixelBox(8, 32, 8, 38)
    pixels = FramePixels(data=image, mask=bad, variance=variance)
    found = resample_piece(pixels, pixel_map(fitted, box), interpolant=kernel, bad="exclude")
    good = np.pad((~bad).astype(float), pad, mode="edge")
    values, spread = (padded(plane, pad, "nearest") for plane in (image, variance))
    for y, x in np.column_stack([rng.integers(0, box.shape[0], 60), rng.integers(0, box.shape[1], 60)]):
        w = weights_at(kernel, fitted, y + box.ymin, x + box.xmin, values.shape, pad) * good
        if w.sum() < 0.499:
            assert np.isnan(found.data[y, x])
            assert np.isnan(found.variance[y, x])
        elif w.sum() > 0.501:
            assert found.data[y, x] == pytest.approx((w * values).sum() / w.sum(), abs=5e-3)
            assert found.variance[y, x] == pytest.approx((w * w * spread).sum() / w.sum() ** 2, rel=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_constant_image_stays_constant(name: str) -> None:
    image = np.full(SHAPE, 700.0, np.float32)
    for boundary in ("constant", "nearest", "reflect", "wrap"):
        piece = resample_piece(
            FramePixels(data=image),
            pixel_map(curved_map(), PixelBox(-30, 70, -40, 90)),
            interpolant=Interpolant.parse(name),
            boundary=boundary,
            constant=700.0,
        )
        np.testing.assert_allclose(piece.data, 700.0, rtol=2e-6)


@pytest.mark.parametrize(("name", "tolerance"), [("linear", 1e-4), ("poly3", 1e-4), ("poly5", 1e-4), ("spline3", 1e-3)])
def test_plane_is_reproduced(name: str, tolerance: float) -> None:
    y, x = np.indices(SHAPE)
    image = (3 * x - 2 * y + 100).astype(np.float32)
    box = PixelBox(10, 30, 10, 36)
    piece = resample_piece(FramePixels(data=image), pixel_map(curved_map(), box), interpolant=Interpolant.parse(name), boundary="reflect")
    v, u = evaluate(curved_map(), *np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax])
    np.testing.assert_allclose(piece.data, 3 * u - 2 * v + 100, atol=tolerance)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "lsinc7[0.2]"])
def test_shift_by_whole_pixels_is_the_identity(name: str) -> None:
    image = simulated()
    piece = resample_piece(
        FramePixels(data=image), shift_map(3, -5, PixelBox(-3, SHAPE[0] - 3, 5, SHAPE[1] + 5)), interpolant=Interpolant.parse(name)
    )
    np.testing.assert_allclose(piece.data, image, rtol=2e-6)
    assert (piece.area == 1).all()


@pytest.mark.parametrize("boundary", ["nearest", "reflect", "wrap"])
@pytest.mark.parametrize("name", ["nearest", "linear", "spline3", "sinc", "drizzle"])
def test_far_beyond_the_image(name: str, boundary: str) -> None:
    image = simulated()
    kernel = Interpolant.parse(name)
    shift = (-97.25, 213.4)
    box = PixelBox(0, 30, 0, 30)
    piece = resample_piece(FramePixels(data=image), shift_map(*shift, box), interpolant=kernel, boundary=boundary)
    around = padded(image, 260, boundary)
    near = resample_piece(FramePixels(data=around.astype(np.float32)), shift_map(shift[0] + 260, shift[1] + 260, box), interpolant=kernel)
    np.testing.assert_allclose(piece.data, near.data, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_threads_and_buffers_change_nothing(name: str) -> None:
    kernel = Interpolant.parse(name)
    pieces = [FramePixels(data=simulated(k)) for k in range(4)]
    forward = pixel_map(curved_map(), PixelBox(-3, 43, -3, 49))
    alone = [resample_piece(p, forward, interpolant=kernel).data for p in pieces]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda p: resample_piece(p, forward, interpolant=kernel).data, pieces * 2))
    workspace = Workspace()
    for k, p in enumerate(pieces):
        again = resample_piece(p, forward, interpolant=kernel, workspace=workspace).data
        assert np.array_equal(alone[k], again)
        assert np.array_equal(alone[k], together[k])
        assert np.array_equal(alone[k], together[k + 4])


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("drizzle")])  # corners of tables are not those of polynomials
def test_parts_of_a_map_give_the_same_to_the_bit(name: str) -> None:
    # the same positions in strips, as tables: no result depends on what lies beside it
    kernel, fitted = Interpolant.parse(name), curved_map()
    box = PixelBox(0, 40, 0, 46)
    v, u = pixel_map(fitted, box).evaluate(*np.mgrid[:40, :46])

    def tables(*cuts: int) -> PixelMap:
        patches = [
            MapPatch(box=PixelBox(a, b, c, d), table_u=u[a:b, c:d], table_v=v[a:b, c:d])
            for a, b in zip(cuts, [*cuts[1:], 40], strict=True)
            for c, d in ((0, 17), (17, 46))
        ]
        return PixelMap(box=box, offset=0.0, patches=tuple(patches), error_pix=0.0)

    pixels = FramePixels(data=simulated())
    one, many = (resample_piece(pixels, m, interpolant=kernel).data for m in (tables(0), tables(0, 7, 8, 31)))
    assert np.array_equal(one, many)


@pytest.mark.parametrize("dtype", [">i2", "<i4", "u1", ">f4", "f8"])
@pytest.mark.parametrize("name", ["linear", "spline3", "drizzle"])
def test_integers_are_not_cut(dtype: str, name: str) -> None:
    image = np.clip(simulated() / 5, 0, 200).astype(dtype)
    kernel = Interpolant.parse(name)
    forward = pixel_map(curved_map(), PixelBox(0, 40, 0, 46))
    before = image.copy()
    ours = resample_piece(FramePixels(data=image), forward, interpolant=kernel)
    same = resample_piece(FramePixels(data=image.astype(np.float32)), forward, interpolant=kernel)
    assert np.array_equal(ours.data, same.data)
    assert ours.data.dtype == np.float32
    assert np.array_equal(image, before)
    fraction = np.abs(ours.data - np.rint(ours.data))
    assert np.median(fraction) > 0.1


@pytest.mark.parametrize("dtype", ["f4", ">i2"])
@pytest.mark.parametrize("name", NAMES)
def test_bad_pixels_reach_no_result(name: str, dtype: str) -> None:
    y, x = np.indices(SHAPE)
    clean = (2 * x + y + 100).astype(dtype)
    dirty, bad = clean.copy(), np.zeros(SHAPE, bool)
    bad[:, 20] = bad[11, 30:33] = True
    dirty[bad] = 30000
    kernel, forward = Interpolant.parse(name), pixel_map(curved_map(), PixelBox(8, 32, 8, 38))
    truth = resample_piece(FramePixels(data=clean), forward, interpolant=kernel, boundary="reflect").data
    filled = resample_piece(FramePixels(data=dirty, mask=bad), forward, interpolant=kernel, boundary="reflect", bad="interpolate")
    np.testing.assert_allclose(filled.data, truth, atol=0.02)  # a plane is filled exactly inside
    left_out = resample_piece(FramePixels(data=dirty, mask=bad), forward, interpolant=kernel, boundary="reflect", bad="exclude")
    seen = np.isfinite(left_out.data)
    assert np.abs(left_out.data - truth)[seen].max() < 40  # without the column the mean moves along the slope, no further
    assert 0.8 < seen.mean() < 1
    flagged = resample_piece(FramePixels(data=dirty, mask=bad), forward, interpolant=kernel, boundary="reflect", bad="flag")
    assert np.abs(flagged.data - truth).max() > 10000
    assert ((filled.area < 1) | (np.abs(flagged.data - truth) < 10000)).all()


@pytest.mark.parametrize("bad", ["flag", "exclude", "interpolate"])
def test_values_that_are_not_finite_never_spread(bad: str) -> None:
    image = simulated()
    image[10, 10], image[20, 30] = np.nan, np.inf
    forward = pixel_map(curved_map(), PixelBox(5, 35, 5, 40))
    for name in NAMES:
        piece = resample_piece(FramePixels(data=image), forward, interpolant=Interpolant.parse(name), bad=bad)
        assert np.isfinite(piece.data).mean() > (0.98 if bad == "exclude" else 0.9999)
        assert np.nanmax(piece.data) < 2000


def test_area_and_weight_know_the_section() -> None:
    weight = np.full(SHAPE, 3.0, np.float32)
    bad = np.zeros(SHAPE, bool)
    bad[20, 20] = True
    section = PixelBox(5, 35, 6, 40)
    pixels = FramePixels(data=simulated(), mask=bad, weight=weight)
    piece = resample_piece(pixels, shift_map(0.25, 0.0, PixelBox(0, 40, 0, 46)), interpolant=Interpolant.parse("poly3"), section=section)
    expected = np.zeros((40, 46))
    expected[5:34, 6:40] = 1
    expected[4, 6:40], expected[34, 6:40] = 0.25, 0.75
    expected[20, 20], expected[19, 20] = 0.25, 0.75
    np.testing.assert_allclose(piece.area, expected, atol=1e-6)
    np.testing.assert_allclose(piece.weight, np.where(expected > 0, 3.0, 0.0), rtol=1e-5)
    assert piece.variance is None


@pytest.mark.parametrize("name", ["linear", "poly5", "spline3", "sinc", "drizzle"])
def test_variance_by_simulation(name: str) -> None:
    kernel = Interpolant.parse(name)
    rng = np.random.default_rng(4)
    variance = rng.uniform(1, 9, SHAPE).astype(np.float32)
    forward = pixel_map(curved_map(), PixelBox(10, 30, 10, 36))
    draws = [
        resample_piece(
            FramePixels(data=rng.normal(0, np.sqrt(variance)).astype(np.float32)), forward, interpolant=kernel, with_area=False
        ).data
        for _ in range(250)
    ]
    said = resample_piece(FramePixels(data=np.zeros(SHAPE, np.float32), variance=variance), forward, interpolant=kernel).variance
    pull = np.sqrt(np.mean(np.square(draws) / said))
    assert 0.98 < pull < 1.02


def test_flux_is_conserved() -> None:
    image = np.zeros((80, 80), np.float32)
    y, x = np.indices(image.shape)
    image += 1000 * np.exp(-((x - 41.3) ** 2 + (y - 38.7) ** 2) / 8)
    fitted = curved_map(image.shape, scale=0.8)
    for name in ("poly5", "spline3", "sinc", "drizzle"):
        forward = pixel_map(fitted, PixelBox(-5, 85, -5, 85))
        variance = np.ones_like(image)
        piece, plain = (
            resample_piece(FramePixels(data=image, variance=variance), forward, interpolant=Interpolant.parse(name), fluxconserve=flux)
            for flux in (True, False)
        )
        assert piece.data.sum() == pytest.approx(image.sum(), rel=1e-3)
        ratio = piece.data[40, 40] / plain.data[40, 40]
        assert ratio == pytest.approx(0.64, rel=0.05)
        assert piece.variance[40, 40] / plain.variance[40, 40] == pytest.approx(ratio**2, rel=1e-4)


def test_undefined_map_is_nan() -> None:
    box = PixelBox(0, 4, 0, 5)
    y, x = np.mgrid[0.0:4, 0.0:5] + 10
    x[1, 2] = np.nan
    patch = MapPatch(box=PixelBox(0, 3, 0, 5), table_u=x[:3], table_v=y[:3])
    forward = PixelMap(box=box, offset=0.0, patches=(patch,), error_pix=0.0)
    for name in NAMES:
        piece = resample_piece(FramePixels(data=simulated()), forward, interpolant=Interpolant.parse(name))
        missing = np.zeros((4, 5), bool)
        missing[3], missing[1, 2] = True, True
        assert np.isnan(piece.data[missing]).all()
        if name not in ("drizzle", "drizzle[0.5]"):
            assert np.isfinite(piece.data[~missing]).all()
        assert (piece.area[missing] == 0).all()


@pytest.mark.parametrize(
    ("pixels", "options", "error", "words"),
    [
        ({}, {"boundary": "mirror"}, ConfigError, "boundary"),
        ({}, {"bad": "drop"}, ConfigError, "bad pixels"),
        ({}, {"constant": np.nan, "boundary": "constant"}, ConfigError, "finite"),
        ({}, {"section": PixelBox(0, 50, 0, 10)}, InputError, "section"),
        ({}, {"section": PixelBox(5, 5, 0, 10)}, InputError, "section"),
        ({"mask": np.zeros((3, 3), bool)}, {}, ShapeError, "mask"),
        ({"mask": np.ones(SHAPE, bool)}, {"bad": "exclude"}, InputError, "no good pixel"),
        ({"data": np.full(SHAPE, np.nan, np.float32)}, {}, InputError, "no finite pixel"),
        ({"data": np.zeros((0, 4), np.float32)}, {}, ShapeError, "piece"),
    ],
)
def test_bad_calls(pixels, options, error, words: str) -> None:
    frame = FramePixels(**{"data": simulated(), **pixels})
    with pytest.raises(error, match=words):
        resample_piece(frame, shift_map(0, 0, PixelBox(0, 4, 0, 4)), interpolant=Interpolant.parse("linear"), **options)
