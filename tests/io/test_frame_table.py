from __future__ import annotations

import numpy as np
import pytest
from support.fits_files import noise_image, write_frame
from support.shared import shared_path

from nbmosaic.io.frame_table import frame_table, scale_and_rotation, sexagesimal
from nbmosaic.io.sources import frame_infos
from nbmosaic.io.tables import format_table, read_table
from nbmosaic.io.templates import parse_template

MONTAGE = [
    *("cntr", "ra", "dec", "cra", "cdec", "naxis1", "naxis2", "ctype1", "ctype2", "crpix1", "crpix2", "crval1", "crval2"),
    *("cdelt1", "cdelt2", "crota2", "equinox", "naxis", "naxis3", "crval3", "cdelt3", "crpix3", "naxis4", "crval4", "cdelt4", "crpix4"),
    *("ra1", "dec1", "ra2", "dec2", "ra3", "dec3", "ra4", "dec4", "size", "hdu", "fname"),
]


def test_columns_and_values(tmp_path, rng):
    paths = [write_frame(tmp_path / f"f{i}.fits", noise_image(rng), BUNIT="Jy", EXPTIME=2.0) for i in range(3)]
    frames, _ = frame_infos(paths, flux_scale=[1, 2, 3])
    centres = np.array([[10.0, 20.0], [350.0, -0.0001], [0.0, 0.0]])
    corners = np.arange(24.0).reshape(3, 4, 2)
    table = frame_table(frames, centres=centres, corners=corners)
    assert table.columns.tolist() == [*MONTAGE, "unit", "exptime", "flux_scale", "name"]
    assert table.cntr.tolist() == [0, 1, 2]
    assert table[["ra3", "dec3"]].to_numpy()[1].tolist() == [12.0, 13.0]
    assert table.flux_scale.tolist() == [1, 2, 3]
    assert table.fname.tolist() == ["f0.fits", "f1.fits", "f2.fits"]
    assert table.naxis3.isna().all()
    assert str(table.naxis3.dtype) == "Int64"
    assert len(format_table(table, layout="montage").splitlines()) == 6
    assert frame_table(frames).ra.isna().all()
    assert len(frame_table([])) == 0


def test_agrees_with_montage_on_its_own_frames():
    frames, _ = frame_infos(shared_path("golden/montage/raw"))
    table = frame_table(frames)
    table["fname"] = table.fname.str.removesuffix(".gz")
    both = table.merge(read_table(shared_path("golden/montage/tables/montagepy_2.3.0/rimages.tbl")), on="fname", suffixes=("", "_m"))
    assert len(both) == 12
    for name in ("naxis1", "naxis2", "ctype1", "ctype2", "equinox", "naxis", "hdu"):
        assert both[name].tolist() == both[f"{name}_m"].tolist(), name
    for name, digits in {
        "crpix1": 5e-6,
        "crpix2": 5e-6,
        "crval1": 5e-8,
        "crval2": 5e-8,
        "cdelt1": 5e-15,
        "cdelt2": 5e-15,
        "crota2": 5e-8,
    }.items():
        assert np.abs(both[name] - both[f"{name}_m"]).max() <= digits * 1.01, name


@pytest.mark.parametrize(
    ("lon", "lat", "expected"),
    [
        (275.1657051, -16.1146105, ("18h 20m 39.77s", "-16d 06m 52.6s")),
        (0.0, -0.0001, (" 0h 00m 00.00s", "-00d 00m 00.4s")),
        (359.9999999, 89.9999999, (" 0h 00m 00.00s", " 90d 00m 00.0s")),
        (15.0, -1e-9, (" 1h 00m 00.00s", " 00d 00m 00.0s")),
        (float("nan"), 0.0, ("", "")),
    ],
)
def test_sexagesimal(lon, lat, expected):
    assert sexagesimal(lon, lat) == expected


@pytest.mark.parametrize("angle", [0.0, 30.0, 179.0, 275.0])
@pytest.mark.parametrize("parity", [-1.0, 1.0])
def test_scale_and_rotation_rebuild_the_matrix(angle, parity):
    r = np.deg2rad(angle)
    cd = 1e-3 * np.array([[parity * np.cos(r), -2 * np.sin(r)], [parity * np.sin(r), 2 * np.cos(r)]])
    cards = "".join(f"CD{i + 1}_{j + 1} = {float(cd[i, j])!r}\n" for i in range(2) for j in range(2))
    grid = parse_template("NAXIS1=9\nNAXIS2=9\nCTYPE1='RA---TAN'\nCTYPE2='DEC--TAN'\n" + cards)
    c1, c2, found = scale_and_rotation(grid.wcs)
    f = np.deg2rad(found)
    np.testing.assert_allclose([[c1 * np.cos(f), -c2 * np.sin(f)], [c1 * np.sin(f), c2 * np.cos(f)]], cd, atol=1e-15)
    assert not (c1 > 0 and c2 > 0 and 90 < found < 270)
