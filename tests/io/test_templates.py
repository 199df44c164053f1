from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from support.fits_files import noise_image, write_frame
from support.shared import shared_path

from nbmosaic.errors import FormatError, HeaderTemplateError
from nbmosaic.io.templates import format_template, longitude_first, parse_template, read_template, write_template
from nbmosaic.types import MosaicGrid

PLAIN = """SIMPLE  = T
BITPIX  = -64
NAXIS   = 2
NAXIS1  = 921
NAXIS2  = 717
CTYPE1  = 'RA---TAN'
CTYPE2  = 'DEC--TAN'
EQUINOX = 2000
CRVAL1  =  275.191863124
CRVAL2  =  -16.176618334
CRPIX1  =       461.0000
CRPIX2  =       359.0000
CDELT1  =   -0.000277778
CDELT2  =    0.000277778
CROTA2  =   30.000000000
END
"""


def sky(grid, system="icrs"):
    """ICRS positions (degrees) of a lattice of pixels; x is header axis 1."""
    x, y = np.meshgrid(np.linspace(0, grid.shape[1] - 1, 7), np.linspace(0, grid.shape[0] - 1, 6))
    coord = grid.wcs.pixel_to_world(x, y).transform_to(system)
    return np.array([coord.data.lon.deg, coord.data.lat.deg])


def same_sky(one, two, tolerance=1e-12):
    np.testing.assert_allclose(sky(one), sky(two), atol=tolerance, rtol=0)
    assert one.shape == two.shape


def test_montage_form():
    grid = parse_template(PLAIN)
    assert grid.shape == (717, 921)
    assert grid.wcs.pixel_shape == (921, 717)
    assert grid.wcs.wcs.crval.tolist() == [275.191863124, -16.176618334]
    assert grid.wcs.wcs.radesys == "FK5"
    header = fits.Header.fromstring(PLAIN, sep="\n")
    expected = MosaicGrid(WCS(header), (717, 921))
    same_sky(grid, expected, 0)


def block_of_cards(text):
    return "".join(line.ljust(80) for line in text.splitlines())


@pytest.mark.parametrize(
    "change",
    [
        str.lower,
        lambda t: t.replace("\n", "\r\n"),
        lambda t: t.replace("\n", "\r"),
        lambda t: t.replace("END\n", ""),
        block_of_cards,
        lambda t: "\n".join(line.ljust(80) for line in t.splitlines()),
        lambda t: "\n".join(f"{line} / a comment {'x' * 90}" if "=" in line else line for line in t.splitlines()),
        lambda t: t.replace("= ", "=\t\t"),
        lambda t: t.replace("  = ", "="),
        lambda t: "COMMENT made by hand\n\nHISTORY of it\n# note\n         free text\n" + t,
        lambda t: t + "\nnonsense after END is not read\n",
        lambda t: "\ufeff" + t,
        lambda t: t.replace("'RA---TAN'", "RA---TAN").replace("'DEC--TAN'", "DEC--TAN"),
        lambda t: t.replace("-16.176618334", "-1.6176618334D+01"),
        lambda t: t.replace("EQUINOX = 2000", "EQUINOX = '2000.'"),
        lambda t: t.replace("EQUINOX = 2000", "EQUINOX = 'J2000'"),
        lambda t: t.replace("EQUINOX = 2000", "EPOCH = 2000.0"),
        lambda t: t.replace("EQUINOX = 2000", "RADECSYS = 'FK5'"),
        lambda t: t.replace("EQUINOX = 2000", "RADESYS = 'FK5'\nEQUINOX = 2000.0"),
        lambda t: t.replace("NAXIS   = 2", "NAXIS   = 2\nOBJECT = 'it''s / M17'"),
        lambda t: t.replace("CROTA2  =   30.000000000", "CROTA2  =   30.000000000\nCROTA2 = 30.0"),
    ],
)
def test_every_spelling_gives_the_same_grid(change):
    same_sky(parse_template(change(PLAIN)), parse_template(PLAIN), 0)


def without(text, *keys):
    return "\n".join(line for line in text.splitlines() if not line.startswith(keys))


def test_all_forms_of_the_matrix():
    angle, scale = np.deg2rad(30.0), 0.000277778
    cd = scale * np.array([[-np.cos(angle), -np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    base = without(PLAIN, "CDELT", "CROTA", "END")
    as_cd = base + "".join(f"\nCD{i + 1}_{j + 1} = {float(cd[i, j])!r}" for i in range(2) for j in range(2))
    pc = cd / np.array([[-scale], [scale]])
    as_pc = (
        base
        + f"\nCDELT1 = {-scale}\nCDELT2 = {scale}"
        + "".join(f"\nPC{i + 1}_{j + 1} = {float(pc[i, j])!r}" for i in range(2) for j in range(2))
    )
    same_sky(parse_template(as_cd), parse_template(PLAIN))
    same_sky(parse_template(as_pc), parse_template(PLAIN))


def test_old_equinox():
    text = PLAIN.replace("EQUINOX = 2000", "EQUINOX = 1950")
    assert parse_template(text).wcs.wcs.radesys == "FK4"
    assert parse_template(PLAIN.replace("EQUINOX = 2000", "EQUINOX = B1950")).wcs.wcs.radesys == "FK4"
    assert parse_template(PLAIN.replace("EQUINOX = 2000", "EPOCH = 0")).wcs.wcs.equinox == 1950
    assert parse_template(without(PLAIN, "EQUINOX")).wcs.wcs.radesys == "ICRS"


def test_galactic_and_projection_parameters():
    text = PLAIN.replace("RA---TAN", "GLON-CEA").replace("DEC--TAN", "GLAT-CEA").replace("-16.176618334", "0.0")
    text = text.replace("EQUINOX = 2000\n", "RADESYS = 'GAL'\n").replace("CROTA2", "CROTA2")
    old, new = parse_template(text.replace("END", "PROJP1 = 0.75\nEND")), parse_template(text.replace("END", "PV2_1 = 0.75\nEND"))
    assert new.wcs.wcs.get_pv() == [(2, 1, 0.75)]
    same_sky(old, new, 0)
    with pytest.raises(AssertionError):
        same_sky(new, parse_template(text), 1e-6)


def test_more_axes():
    text = PLAIN.replace("NAXIS   = 2", "NAXIS   = 3\nNAXIS3 = 5").replace(
        "END", "CTYPE3 = 'FREQ'\nCRVAL3 = 1.4e9\nCDELT3 = 1e6\nCRPIX3 = 1\nEND"
    )
    same_sky(parse_template(text), parse_template(PLAIN), 0)


def test_latitude_first():
    """World axes come out longitude first; pixel axes stay: x is header axis 1."""
    swapped = PLAIN
    for key in ("CTYPE", "CRVAL"):
        swapped = swapped.replace(f"{key}1", f"{key}x").replace(f"{key}2", f"{key}1").replace(f"{key}x", f"{key}2")
    grid = parse_template(swapped)
    header = fits.Header.fromstring(swapped, sep="\n")
    expected = MosaicGrid(WCS(header), (717, 921))
    assert expected.wcs.wcs.lat == 0
    assert grid.wcs.wcs.lng == 0
    same_sky(grid, expected)
    same_sky(parse_template(format_template(grid)), grid, 0)
    assert longitude_first(grid.wcs) is grid.wcs


def test_latitude_first_with_parameters():
    text = "\n".join(
        [
            *(
                "NAXIS1 = 40",
                "NAXIS2 = 30",
                "CTYPE1 = 'DEC--ZPN'",
                "CTYPE2 = 'RA---ZPN'",
                "CRVAL1 = 20",
                "CRVAL2 = 80",
                "CRPIX1 = 20",
                "CRPIX2 = 15",
            ),
            *("CD1_1 = 0.001", "CD1_2 = 0.0002", "CD2_1 = -0.0001", "CD2_2 = 0.0011", "PV1_1 = 1.0", "PV1_3 = 42.0", "LONPOLE = 170.0"),
        ]
    )
    header = fits.Header(
        [(key.strip(), float(value) if "'" not in value else value.strip(" '")) for key, value in (c.split("=") for c in text.split("\n"))]
    )
    same_sky(parse_template(text), MosaicGrid(WCS(header), (30, 40)))


@pytest.mark.parametrize("key", ["NAXIS1", "NAXIS2", "CTYPE1", "CTYPE2", "CDELT1"])
def test_missing_card_is_named(key):
    with pytest.raises(HeaderTemplateError, match=f"no {key} card"):
        parse_template(without(PLAIN, key))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("NAXIS1  = 921", "NAXIS1  = nine", 4, "NAXIS1 is 'nine', expected a whole number from 1 to 10000000"),
        ("NAXIS1  = 921", "NAXIS1  = 0", 4, "expected a whole number"),
        ("NAXIS1  = 921", "NAXIS1  = 921.5", 4, "expected a whole number"),
        ("NAXIS1  = 921", "NAXIS1  = 99999999999999999999", 4, "expected a whole number"),
        ("NAXIS   = 2", "NAXIS   = 1", 3, "NAXIS is 1, expected 2"),
        ("275.191863124", "NaN", 9, "CRVAL1 is 'NaN', expected a number"),
        ("275.191863124", "1e400", 9, "CRVAL1 is '1e400', expected a number"),
        ("275.191863124", "1e30", 9, "CRVAL1 is '1e30', expected a number"),
        ("275.191863124", "__import__('os')", 9, "expected a number"),
        ("275.191863124", "", 9, "CRVAL1 is '', expected a number"),
        ("-0.000277778", "0.0", 13, "CDELT1 is '0.0', expected degrees per pixel"),
        ("-0.000277778", "1000", 13, "CDELT1 is 1000, expected degrees per pixel"),
        ("'RA---TAN'", "''", 6, "CTYPE1 is .*, expected a text in quotes"),
        ("'RA---TAN'", "'LINEAR'", 6, "expected a celestial pair"),
        ("EQUINOX = 2000", "EQUINOX = soon", 8, "EQUINOX is 'soon', expected a year"),
        ("EQUINOX = 2000", "RADESYS = 'FK7'", 8, "RADESYS is 'FK7', expected one of FK4, FK4-NO-E, FK5, GAPPT, ICRS"),
        ("EQUINOX = 2000", "what is this", 8, "'what is this' is no card, expected KEYWORD = value"),
        ("EQUINOX = 2000", "NAXIS1 = 922", 8, "NAXIS1 is given twice, first on line 4"),
    ],
)
def test_bad_card_gives_file_line_and_what_was_expected(tmp_path, old, new, line, message):
    path = tmp_path / "bad.hdr"
    path.write_text(PLAIN.replace(old, new, 1))
    with pytest.raises(HeaderTemplateError, match=message) as caught:
        read_template(path)
    assert f"bad.hdr, line {line}: " in str(caught.value)
    assert caught.value.context["line"] == line
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("TAN", "XYZ"), "bad.hdr.*Unrecognized projection|expected a celestial pair"),
        (lambda t: without(t, "CDELT", "CROTA", "END") + "\nCD1_1 = 1\nCD1_2 = 1\nCD2_1 = 1\nCD2_2 = 1", r"bad\.hdr.*[Ss]ingular"),
        (lambda _: "\x00\x01\x02" * 50, r"bad\.hdr, line 1: .* is no card"),
        (lambda _: "", "no NAXIS1 card"),
    ],
)
def test_nonsense(tmp_path, change, message):
    path = tmp_path / "bad.hdr"
    path.write_text(change(PLAIN))
    with pytest.raises(HeaderTemplateError, match=message):
        read_template(path)


def test_missing_file(tmp_path):
    with pytest.raises(HeaderTemplateError, match=r"cannot open .*no such file"):
        read_template(tmp_path / "none.hdr")


def random_grid(rng, form, projection="TAN"):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = [rng.uniform(0, 360), rng.uniform(-80, 80)]
    wcs.wcs.crpix = rng.uniform(-1e4, 1e4, 2)
    wcs.wcs.radesys = str(rng.choice(["ICRS", "FK5", "FK4"]))
    if form == "cd":
        wcs.wcs.cd = rng.normal(0, 1e-3, (2, 2))
    else:
        wcs.wcs.cdelt = rng.normal(0, 1e-3, 2)
        if form == "pc":
            wcs.wcs.pc = rng.normal(0, 1, (2, 2))
        elif form == "crota":
            wcs.wcs.crota = [0.0, rng.uniform(-180, 180)]
    return MosaicGrid(wcs, (int(rng.integers(1, 9999)), int(rng.integers(1, 9999))))


@pytest.mark.parametrize("form", ["cd", "pc", "crota", "plain"])
@pytest.mark.parametrize("projection", ["TAN", "SIN", "CAR", "AIT", "ZEA"])
def test_round_trip_is_exact(rng, form, projection):
    for _ in range(5):
        grid = random_grid(rng, form, projection)
        again = parse_template(format_template(grid))
        assert again.shape == grid.shape
        np.testing.assert_array_equal(again.wcs.wcs.crval, grid.wcs.wcs.crval)
        np.testing.assert_array_equal(again.wcs.wcs.crpix, grid.wcs.wcs.crpix)
        np.testing.assert_array_equal(again.wcs.pixel_scale_matrix, grid.wcs.pixel_scale_matrix)
        x, y = rng.uniform(-10, 10, (2, 50)) + grid.wcs.wcs.crpix[:, None]
        np.testing.assert_array_equal(again.wcs.all_pix2world(x, y, 1), grid.wcs.all_pix2world(x, y, 1))
        assert format_template(again) == format_template(grid)


def test_distorted_grids_round_trip(tmp_path):
    for name, tolerance in (("astropy__sip.hdr", 0), ("galsim__tpv.hdr", 1e-11)):
        header = fits.Header.fromstring(shared_path(f"data/headers/{name}").read_text(), sep="\n")
        header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, 256, 256
        text = "\n".join(str(card).rstrip() for card in header.cards)
        grid = parse_template(text)
        same_sky(parse_template(format_template(grid)), grid, tolerance)


def test_files(tmp_path):
    grid = parse_template(PLAIN)
    path = tmp_path / "a.hdr"
    write_template(path, grid)
    same_sky(read_template(path), grid, 0)
    with pytest.raises(FormatError, match=r"a\.hdr exists"):
        write_template(path, grid)
    write_template(path, grid, overwrite=True)


def test_template_of_a_fits_image(tmp_path, rng):
    path = write_frame(tmp_path / "f.fits", noise_image(rng))
    grid = read_template(path)
    assert grid.shape == (12, 17)
    with fits.open(path) as hdus:
        same_sky(grid, MosaicGrid(WCS(hdus[0].header), (12, 17)))
    write_frame(path, noise_image(rng), fits.Header())
    with pytest.raises(HeaderTemplateError, match="no image with a celestial WCS"):
        read_template(path)


def test_real_templates():
    """Every template that Montage wrote is read, and written again without loss."""
    paths = sorted(shared_path("golden/montage/templates").glob("*.hdr")) + sorted(shared_path("data").glob("*/montage_ref/template.hdr"))
    read = 0
    for path in paths:
        if not path.read_text().strip():
            continue
        grid = read_template(path)
        same_sky(parse_template(format_template(grid)), grid, 0)
        read += 1
    assert read >= 12
