"""TNX and ZPX headers, DSS plates, and published pixel-to-sky values."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from astropy.io import fits
from numpy.polynomial import chebyshev, legendre
from support.shared import shared_path

from nbmosaic.core.geometry.sky import SkyPixels
from nbmosaic.errors import HeaderTemplateError, InputError, NbmosaicError
from nbmosaic.io.iraf_surfaces import iraf_surface
from nbmosaic.io.sources import frame_infos
from nbmosaic.io.templates import format_template, parse_template, read_template

LIMITS = (-0.2, 0.3, -0.25, 0.15)


def surface(function, nx, ny, cross, seed):
    """Numbers of a random surface of a few arcsec, and its coefficients by hand."""
    rng = np.random.default_rng(seed)
    pairs = [
        (i, j) for j in range(ny) for i in range(nx) if cross == 1 or (cross == 2 and i + j < max(nx, ny)) or (cross == 0 and 0 in (i, j))
    ]
    values = rng.normal(0, 3e-3, len(pairs))
    return [function, nx, ny, cross, *LIMITS, *values], dict(zip(pairs, values, strict=True))


def by_hand(function, terms, x, y):
    if function != 3:
        x = (2 * x - LIMITS[0] - LIMITS[1]) / (LIMITS[1] - LIMITS[0])
        y = (2 * y - LIMITS[2] - LIMITS[3]) / (LIMITS[3] - LIMITS[2])
    basis = {1: chebyshev.chebval, 2: legendre.legval, 3: np.polynomial.polynomial.polyval}[function]
    return sum(c * basis(x, np.eye(i + 1)[i]) * basis(y, np.eye(j + 1)[j]) for (i, j), c in terms.items())


def wat(axis, kind, name, numbers, extra=""):
    text = f'wtype={kind} axtype={name} {extra}{"lngcor" if name == "ra" else "latcor"} = "{" ".join(repr(float(v)) for v in numbers)} "'
    return "".join(f"WAT{axis}_{k + 1:03d}= '{text[i : i + 68]}'\n" for k, i in enumerate(range(0, len(text), 68)))


def header(kind, lng, lat, extra="", *, swapped=False):
    one, two = ("2", "1") if swapped else ("1", "2")
    return (
        "NAXIS1 = 1000\nNAXIS2 = 800\n"
        f"CTYPE{one} = 'RA---{kind.upper()}'\nCTYPE{two} = 'DEC--{kind.upper()}'\nCRVAL{one} = 150.0\nCRVAL{two} = 40.0\nCRPIX1 = 450.0\nCRPIX2 = -30.0\n"
        f"CD{one}_1 = -2.0E-4\nCD{one}_2 = 3.0E-5\nCD{two}_1 = 2.5E-5\nCD{two}_2 = 2.1E-4\n"
        + wat(one, kind, "ra", lng, extra)
        + wat(two, kind, "dec", lat, extra)
    )


def tangent(xi, eta, lon0=150.0, lat0=40.0):
    """Sky of the tangent plane, in degrees."""
    xi, eta, d0 = np.radians(xi), np.radians(eta), np.radians(lat0)
    lon = np.arctan2(xi, np.cos(d0) - eta * np.sin(d0))
    lat = np.arctan((np.sin(d0) + eta * np.cos(d0)) / (np.cos(d0) - eta * np.sin(d0)) * np.cos(lon))
    return np.degrees(lon) + lon0, np.degrees(lat)


@pytest.mark.parametrize("function", [1, 2, 3])
@pytest.mark.parametrize("cross", [0, 1, 2])
@pytest.mark.parametrize("swapped", [False, True])
def test_tnx_by_hand(function, cross, swapped):
    lng, lng_terms = surface(function, 4, 5, cross, 1)
    lat, lat_terms = surface(function, 5, 3, cross, 2)
    grid = parse_template(header("tnx", lng, lat, swapped=swapped))
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 1000, 200), rng.uniform(0, 800, 200)
    u, v = x + 1 - 450.0, y + 1 + 30.0
    xi, eta = -2e-4 * u + 3e-5 * v, 2.5e-5 * u + 2.1e-4 * v
    expected = tangent(xi + by_hand(function, lng_terms, xi, eta), eta + by_hand(function, lat_terms, xi, eta))
    sky = SkyPixels(grid.wcs, grid.shape)
    lon, lat_ = sky.to_sky(x, y)
    assert np.abs(lon - expected[0]).max() * 3600 < 1e-6
    assert np.abs(lat_ - expected[1]).max() * 3600 < 1e-6
    back = sky.to_pixel(lon, lat_)
    assert max(np.abs(back[0] - x).max(), np.abs(back[1] - y).max()) < 1e-6
    again = parse_template(format_template(grid))
    assert np.array_equal(np.stack(SkyPixels(again.wcs, again.shape).to_sky(x, y)), np.stack([lon, lat_]))


def test_zpx_is_zpn_with_surfaces():
    lng, lng_terms = surface(3, 3, 3, 2, 5)
    lat, lat_terms = surface(3, 3, 3, 2, 6)
    terms = "projp1=1.0 projp3=42.0 "
    grid = parse_template(header("zpx", lng, lat, terms))
    rng = np.random.default_rng(3)
    x, y = rng.uniform(0, 1000, 50), rng.uniform(0, 800, 50)
    u, v = x + 1 - 450.0, y + 1 + 30.0
    xi, eta = -2e-4 * u + 3e-5 * v, 2.5e-5 * u + 2.1e-4 * v
    xi, eta = xi + by_hand(3, lng_terms, xi, eta), eta + by_hand(3, lat_terms, xi, eta)
    radius = np.radians(np.hypot(xi, eta))
    angle = radius.copy()
    for _ in range(50):
        angle = radius - 42.0 * angle**3
    expected = tangent(*(np.stack([xi, eta]) * np.degrees(np.tan(angle)) / np.degrees(radius)))
    sky = SkyPixels(grid.wcs, grid.shape)
    lon, lat_ = sky.to_sky(x, y)
    assert np.abs(lon - expected[0]).max() * 3600 < 1e-4
    assert np.abs(lat_ - expected[1]).max() * 3600 < 1e-4
    back = sky.to_pixel(lon, lat_)
    assert max(np.abs(back[0] - x).max(), np.abs(back[1] - y).max()) < 1e-5


def test_frames_of_a_camera():
    """Pieces of the simulated exposures read with the same surfaces as their templates; positions lead back."""
    frames, _ = frame_infos(shared_path("golden/mscimage/obja.fits.gz"))
    assert len(frames) >= 4
    for info in frames:
        assert str(info.wcs.wcs.ctype[0]).startswith("RA---TAN")
        assert info.wcs.sip is not None
        x, y = np.meshgrid(np.linspace(0, info.shape[1], 5), np.linspace(0, info.shape[0], 5))
        sky = SkyPixels(info.wcs, info.shape)
        back = sky.to_pixel(*sky.to_sky(x, y))
        assert max(np.abs(back[0] - x).max(), np.abs(back[1] - y).max()) < 1e-6


@pytest.mark.parametrize(
    "numbers",
    [
        [],
        [1, 2, 2],
        [7, 2, 2, 0, -1, 1, -1, 1, 0, 0, 0],
        [1, 2, 2, 0, 1, 1, -1, 1, 0, 0, 0],
        [1, 90, 2, 0, -1, 1, -1, 1],
        [3, 4, 4, 1, -1, 1, -1, 1, 0.0],
        [3, 2, 2, 0, -1, 1, -1, 1, np.nan, 0, 0],
    ],
)
def test_surfaces_that_are_none(numbers):
    with pytest.raises(InputError):
        iraf_surface(numbers)
    with pytest.raises(HeaderTemplateError, match=r"lngcor|latcor|header template"):
        parse_template(header("tnx", numbers, numbers) if numbers else header("tnx", [1.0], [1.0]))


def test_surface_of_too_high_degree():
    numbers, _ = surface(1, 8, 8, 1, 1)
    with pytest.raises(NbmosaicError, match="degree 14"):
        parse_template(header("tnx", numbers, numbers))


def sky_values(name, lon, lat):
    folder = shared_path("data/headers")
    rows = {}
    with (folder / name).open() as stream:
        for row in csv.DictReader(stream):
            if row[lon]:
                rows.setdefault(row["header"], []).append(
                    [float(row[k]) for k in ("x_fits", "y_fits", lon, lat)] + [row.get("max_diff_arcsec") or "nan"]
                )
    return folder, rows


def separation(path, rows):
    grid = read_template(path)
    x, y, lon, lat = np.array([row[:4] for row in rows]).T
    a, d = SkyPixels(grid.wcs, grid.shape).to_sky(x - 1, y - 1)
    return float(np.hypot(((a - lon + 180) % 360 - 180) * np.cos(np.radians(lat)), d - lat).max() * 3600)


def test_published_values():
    folder, rows = sky_values("pixel_sky_published.csv", "ra_deg", "dec_deg")
    assert len(rows) == 8
    assert max(separation(folder / name, values) for name, values in rows.items()) < 1e-3


def test_values_of_two_other_programs():
    """Headers where astropy and AST agree, and TNX, which AST alone reads; some are no templates (no NAXISn, a title line): they are refused by name."""
    folder, rows = sky_values("pixel_sky_computed.csv", "lon_starlink", "lat_starlink")
    compared, refused = 0, []
    for name, values in rows.items():
        if not float(values[0][4]) < 1e-3 and "tnx" not in name:
            continue
        try:
            found = separation(folder / name, values)
        except HeaderTemplateError as error:
            refused.append(str(error))
            continue
        assert found < 1e-3, name
        compared += 1
    assert all(".hdr" in text and ("NAXIS" in text or "is no card" in text) for text in refused)
    assert compared >= 85


def test_plates_round_trip():
    grid = read_template(shared_path("data/headers/survey__dss_horsehead.hdr"))
    again = parse_template(format_template(grid))
    x, y = np.meshgrid(np.linspace(0, grid.shape[1], 4), np.linspace(0, grid.shape[0], 4))
    one, two = (np.stack(SkyPixels(g.wcs, g.shape).to_sky(x, y)) for g in (grid, again))
    assert np.abs(one - two).max() * 3600 < 1e-4


def test_plates_need_nothing_else():
    path = shared_path("data/headers/astropy__dss.14.29.56-62.41.05.hdr")
    block = path.read_bytes().decode("latin-1").replace("\n", "")
    cards = [block[i : i + 80] for i in range(0, len(block), 80)]
    plain = [c for c in cards if not c.startswith(("CTYPE", "CRVAL", "CRPIX", "CDELT", "CROTA", "CD", "PC"))]
    one, two = parse_template("\n".join(cards)), parse_template("\n".join(plain))
    x, y = np.array([0.0, 90.0]), np.array([5.0, 70.0])
    assert np.array_equal(SkyPixels(one.wcs).to_sky(x, y), SkyPixels(two.wcs).to_sky(x, y))
    for card in ("PLTDECD", "PPO3", "XPIXELSZ"):
        with pytest.raises(HeaderTemplateError, match="plate solution"):
            parse_template("\n".join(c for c in plain if not c.startswith(card)))


def test_projp_becomes_pv():
    text = "NAXIS1=100\nNAXIS2=100\nCTYPE1='RA---{0}'\nCTYPE2='DEC--{0}'\nCRVAL1=10.\nCRVAL2=40.\nCRPIX1=50.\nCRPIX2=50.\nCDELT1=-.01\nCDELT2=.01\n"
    for code, old, new in (
        ("COE", "PROJP1=40.\nPROJP2=5.", "PV2_1=40.\nPV2_2=5."),
        ("CEA", "PROJP1=0.8", "PV2_1=0.8"),
        ("ZPN", "PROJP1=1.\nPROJP3=3.", "PV2_1=1.\nPV2_3=3."),
    ):
        one, two = (
            SkyPixels(parse_template(text.format(code) + tail).wcs).to_sky(np.array([1.0, 90.0]), np.array([4.0, 70.0]))
            for tail in (old, new)
        )
        assert np.allclose(one, two, rtol=0, atol=1e-12)
        assert np.isfinite(one).all()


GOOD = "NAXIS1=30\nNAXIS2=20\nCTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'\nCDELT1=-0.01\nCDELT2=0.01\n"
STRAY = 'wtype=tnx axtype=ra lngcor = "3 2 2 0 -1 1 -1 1 0 0 0"'


def test_cards_that_crash_the_parser_of_astropy():
    """Each of these ended the process when astropy saw it (segmentation fault in its header parser)."""
    assert parse_template(f"{GOOD}WAT1_001= '{STRAY}'").shape == (20, 30)
    assert parse_template(GOOD.replace("DEC--TAN", "DEC--TNX") + f"WAT2_001= '{STRAY}'").shape == (20, 30)
    for card in (f"PPO3 = '{STRAY}'", "AMDX1 = \x80", "PLTDECSN= 'x'", "WAT1_001= '\x80'"):
        with pytest.raises(HeaderTemplateError, match="line 7"):
            parse_template(GOOD + card)


def test_frames_with_such_cards(tmp_path):
    head = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CDELT1": -0.01, "CDELT2": 0.01}
    for stray in ({"PPO3": STRAY}, {"WAT1_001": STRAY}, {"XPIXELSZ": "text", "CNPIX1": "x"}):
        fits.PrimaryHDU(np.zeros((20, 30), np.float32), fits.Header(head | stray)).writeto(tmp_path / "f.fits", overwrite=True)
        assert frame_infos(tmp_path / "f.fits")[0][0].shape == (20, 30)


def test_astropy_is_never_given_wat_cards(monkeypatch):
    seen = []
    real = fits.Header.fromstring
    monkeypatch.setattr(fits.Header, "fromstring", lambda text, *a, **k: (seen.append(text), real(text, *a, **k))[1])
    numbers, _ = surface(1, 3, 3, 2, 1)
    parse_template(header("tnx", numbers, numbers))
    assert seen
    assert not any("WAT" in text for text in seen)
