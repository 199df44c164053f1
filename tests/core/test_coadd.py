import numpy as np
import pytest

from nbmosaic.core.coadd import BandInput, Coadder
from nbmosaic.core.median_noise import median_variance
from nbmosaic.errors import ConfigError, InputError, ShapeError
from nbmosaic.types.box import PixelBox

COMBINE = ("mean", "median", "clipped", "sum", "min", "max", "first", "count")
BAND = PixelBox(40, 47, -300, 250)
MAD = {1: 1.0, 2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.200, 7: 1.140, 8: 1.129, 9: 1.107}


def make_inputs(seed, n=7, planes=("area", "weight", "variance"), noise=0.0):
    """Frames of any size inside the band, with gaps, planes of backgrounds and spikes."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        y0, x0 = int(rng.integers(BAND.ymin, BAND.ymax - 2)), int(rng.integers(BAND.xmin, BAND.xmax - 100))
        box = PixelBox(y0, int(rng.integers(y0 + 1, BAND.ymax + 1)), x0, int(rng.integers(x0 + 1, BAND.xmax + 1)))
        if k < 3:
            box = BAND if k else PixelBox(BAND.ymin, BAND.ymax, BAND.xmin + 3, BAND.xmax)
        a, b, c = rng.normal(0, 0.01), rng.normal(0, 0.1), rng.normal(0, 20)
        y, x = np.mgrid[box.ymin : box.ymax, box.xmin : box.xmax]
        data = (10 + a * x + b * y + c + rng.normal(0, 1, box.shape)).astype(np.float32)
        data[rng.random(box.shape) < 0.03] += 200
        data[rng.random(box.shape) < 0.1] = np.nan
        data[rng.random(box.shape) < 0.01] = np.inf
        ok = np.isfinite(data)
        extra = {
            "area": np.where(ok, rng.uniform(0.1, 1, box.shape), 0).astype(np.float32),
            "weight": rng.choice([0, 1, 2.5], box.shape).astype(np.float32),
            "variance": rng.uniform(0.5, 4, box.shape).astype(np.float32),
        }
        out.append(BandInput(box=box, data=data, plane=(a, b, c), noise=noise, **{name: extra[name] for name in planes}))
    return out


def statistic(combine, v, w, r):
    """Value and variance of one pixel."""
    n, spread = len(v), (w**2 * r).sum()
    if combine in ("mean", "clipped"):
        return (w * v).sum() / w.sum(), spread / w.sum() ** 2
    if combine == "sum":
        return (w * v).sum(), spread
    if combine == "median":
        return np.median(v), r.sum() / n**2 * median_variance.py_func(n)
    if combine == "first":
        return v[0], r[0]
    return {"min": v.min(), "max": v.max(), "count": n}[combine], np.nan


def slow_coadd(inputs, combine, weighting, *, kappa=3.0, with_variance=False):
    """Pixel by pixel."""
    image, area = np.full(BAND.shape, np.nan), np.zeros(BAND.shape)
    count, variance = np.zeros(BAND.shape, int), np.full(BAND.shape, np.nan)
    for y in range(BAND.ymin, BAND.ymax):
        for x in range(BAND.xmin, BAND.xmax):
            v, w, s, r, noise = [], [], [], [], []
            for f in inputs:
                if not (f.box.ymin <= y < f.box.ymax and f.box.xmin <= x < f.box.xmax):
                    continue
                at = (y - f.box.ymin, x - f.box.xmin)
                a, b, c = f.plane
                value = float(f.data[at]) - ((c + b * y) + a * x)
                area_here = 1.0 if f.area is None else float(f.area[at])
                var = np.nan if f.variance is None else float(f.variance[at])
                if weighting == "weight":
                    weight = float(f.weight[at])
                elif weighting == "variance":
                    weight = 1 / var
                else:
                    weight = area_here if weighting == "area" else 1.0
                if np.isfinite(value) and weight > 0:
                    (
                        v.append(value),
                        w.append(weight),
                        s.append(area_here),
                        r.append(var),
                        noise.append(np.sqrt(var) if f.variance is not None else f.noise),
                    )
            v, w, s, r, noise = (np.array(q) for q in (v, w, s, r, noise))
            n = len(v)
            here = (y - BAND.ymin, x - BAND.xmin)
            if combine == "count":
                image[here] = n or 0
            if n == 0:
                continue
            if combine == "clipped" and n > 2:
                middle = np.median(v.astype(np.float32).astype(float))
                scale = 1.482602218505602 * MAD.get(n, n / (n - 0.8)) * np.median(np.abs(v - middle))
                keep = np.abs(v - middle) <= kappa * np.maximum(scale, noise)
                v, w, s, r = v[keep], w[keep], s[keep], r[keep]
            count[here], area[here] = len(v), s.sum()
            image[here], variance[here] = statistic(combine, v, w, r)
    return image, area, count, variance


CASES = [(c, "none") for c in COMBINE] + [(c, w) for c in ("mean", "sum", "clipped") for w in ("area", "weight", "variance")]


@pytest.mark.parametrize(("combine", "weighting"), CASES)
@pytest.mark.parametrize("planes", [(), ("area", "weight", "variance")])
def test_every_way_is_that_of_the_obvious_loop(combine, weighting, planes):
    if weighting != "none" and weighting not in planes and weighting != "area":
        return
    inputs = make_inputs(1, planes=planes, noise=1.0 if not planes else 0.0)
    with_variance = "variance" in planes and combine not in ("min", "max", "count")
    band = Coadder(*BAND.shape, combine=combine, weighting=weighting, variance=with_variance).combine_band(BAND, inputs)
    image, area, count, variance = slow_coadd(inputs, combine, weighting, with_variance=with_variance)
    assert count.max() > 4
    assert (count == 0).any()
    np.testing.assert_array_equal(band.count, count)
    np.testing.assert_allclose(band.area, area, rtol=1e-5)
    np.testing.assert_allclose(band.image, image, rtol=1e-6, atol=1e-5)
    if with_variance:
        np.testing.assert_allclose(band.variance, variance, rtol=1e-5)
    else:
        assert band.variance is None


@pytest.mark.parametrize("combine", COMBINE)
def test_bands_of_any_height_and_width_give_the_same_bits(combine):
    inputs = make_inputs(2)
    options = {"combine": combine, "variance": combine not in ("min", "max", "count")}
    whole = Coadder(*BAND.shape, **options).combine_band(BAND, inputs)
    coadder = Coadder(3, 200, **options)
    for y0 in range(BAND.ymin, BAND.ymax, 3):
        for x0 in range(BAND.xmin, BAND.xmax, 200):
            box = PixelBox(y0, min(y0 + 3, BAND.ymax), x0, min(x0 + 200, BAND.xmax))
            parts = []
            for f in inputs:
                cut = f.box.intersection(box)
                if cut.empty:
                    continue
                planes = {name: getattr(f, name)[cut.slices(f.box)] for name in ("data", "area", "weight", "variance")}
                parts.append(BandInput(box=cut, plane=f.plane, **planes))
            band = coadder.combine_band(box, parts)
            for name in ("image", "area", "count") + (("variance",) if options["variance"] else ()):
                assert np.array_equal(getattr(band, name), getattr(whole, name)[box.slices(BAND)], equal_nan=True), name


def test_wide_bands_and_deep_stacks():
    rng = np.random.default_rng(3)
    box = PixelBox(0, 2, 0, 5000)
    values = rng.normal(0, 1, (1101, *box.shape)).astype(np.float32)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[:, 1, 4500:] = np.nan
    inputs = [BandInput(box=box, data=v) for v in values]
    median = Coadder(2, 5000, combine="median").combine_band(box, inputs)
    with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
        wanted = np.nanmedian(values, axis=0)
    np.testing.assert_array_equal(median.image, wanted)
    np.testing.assert_array_equal(median.count, np.isfinite(values).sum(axis=0))
    mean = Coadder(2, 5000).combine_band(box, inputs)
    good = np.isfinite(wanted)
    np.testing.assert_allclose(mean.image[good], np.nanmean(values[:, good].astype(float), axis=0), rtol=1e-5, atol=1e-8)
    assert np.isnan(mean.image[1, 4500:]).all()
    assert (mean.area[1, 4500:] == 0).all()


def test_median_of_an_even_number_is_the_mean_of_the_middle_two():
    box = PixelBox(0, 1, 0, 2)
    inputs = [BandInput(box=box, data=np.full((1, 2), v, np.float32)) for v in (9, 1, 4, 2)]
    assert Coadder(1, 2, combine="median").combine_band(box, inputs).image.tolist() == [[3.0, 3.0]]
    assert Coadder(1, 2, combine="median").combine_band(box, inputs[:2]).image.tolist() == [[5.0, 5.0]]


def test_clipping_removes_spikes_and_keeps_good_values():
    rng = np.random.default_rng(4)
    box = PixelBox(0, 50, 0, 200)
    truth = rng.normal(0, 1, (8, *box.shape)).astype(np.float32)
    hit = rng.random(truth.shape) < 0.01
    inputs = [BandInput(box=box, data=v + 1000 * h, noise=1.0) for v, h in zip(truth, hit, strict=True)]
    band = Coadder(50, 200, combine="clipped").combine_band(box, inputs)
    assert np.abs(band.image).max() < 3
    assert (8 - band.count).sum() == pytest.approx(hit.sum() + 8 * 10000 * 0.002, rel=0.3)
    assert band.image.std() == pytest.approx(1 / np.sqrt(8), rel=0.05)
    three = Coadder(50, 200, combine="clipped").combine_band(box, inputs[:3])
    clean = ~hit[:3].any(axis=0)
    assert (three.count[clean] == 3).mean() > 0.97  # the known noise keeps three close values from rejecting one another
    assert np.abs(three.image[hit[:3].sum(axis=0) == 1]).max() < 10
    tight = Coadder(50, 200, combine="clipped", kappa=1.0).combine_band(box, inputs)
    assert tight.count.mean() < band.count.mean() - 1
    two = Coadder(50, 200, combine="clipped").combine_band(box, inputs[:2])
    assert (two.count == 2).all()


@pytest.mark.parametrize("combine", ["mean", "median", "clipped", "sum"])
def test_variance_is_the_scatter(combine):
    rng = np.random.default_rng(5)
    box = PixelBox(0, 100, 0, 300)
    sigma = rng.uniform(0.5, 2, 25) if combine != "median" else np.ones(25)
    inputs = []
    for s in sigma:
        inputs.append(
            BandInput(box=box, data=rng.normal(0, s, box.shape).astype(np.float32), variance=np.full(box.shape, s**2, np.float32))
        )
    weighting = "variance" if combine == "mean" else "none"
    band = Coadder(100, 300, combine=combine, weighting=weighting, variance=True, kappa=4.0).combine_band(box, inputs)
    assert np.mean(band.image**2) == pytest.approx(band.variance.mean(), rel=0.04)


def test_buffers_are_reused_and_windows_taken_in_place():
    large = np.zeros((50, 60), np.float32)
    large[10:14, 20:30] = 5
    large.flags.writeable = False
    box = PixelBox(0, 4, 0, 10)
    coadder = Coadder(4, 10)
    first = coadder.combine_band(box, [BandInput(box=box, data=large[10:14, 20:30])])
    assert (first.image == 5).all()
    small = PixelBox(4, 6, 0, 10)
    second = coadder.combine_band(small, [])
    assert second.image.shape == (2, 10)
    assert np.isnan(second.image).all()
    assert np.shares_memory(first.image, second.image)
    swapped = coadder.combine_band(box, [BandInput(box=box, data=large[10:14, 20:30].astype(">f4"))])
    assert (swapped.image == 5).all()
    assert coadder.nbytes == 4 * 10 * 12


def test_bad_options_and_inputs_are_refused():
    for options, words in (
        ({"combine": "mode"}, "combine"),
        ({"weighting": "noise"}, "weighting"),
        ({"combine": "median", "weighting": "area"}, "takes no weights"),
        ({"kappa": 0.0}, "kappa"),
        ({"combine": "min", "variance": True}, "no variance"),
    ):
        with pytest.raises(ConfigError, match=words):
            Coadder(1, 1, **options)
    box = PixelBox(0, 2, 0, 3)
    frame = BandInput(box=box, data=np.zeros((2, 3), np.float32))
    with pytest.raises(ShapeError, match="larger"):
        Coadder(1, 3).combine_band(box, [frame])
    with pytest.raises(ShapeError, match="leaves"):
        Coadder(2, 3).combine_band(PixelBox(1, 3, 0, 3), [frame])
    with pytest.raises(ShapeError, match="its box"):
        Coadder(2, 3).combine_band(box, [BandInput(box=box, data=np.zeros((2, 2), np.float32))])
    with pytest.raises(InputError, match="weight plane"):
        Coadder(2, 3, weighting="weight").combine_band(box, [frame])
    with pytest.raises(InputError, match="variance plane"):
        Coadder(2, 3, variance=True).combine_band(box, [frame])
