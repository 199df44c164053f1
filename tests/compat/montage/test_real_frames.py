"""The face against MontagePy on real frames of three surveys: equatorial and galactic, TAN and CAR, pixels of 1.2 to 24 arcsec."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from support.montage import read_ipac, run_montage
from support.montage_calls import call_montage
from support.montage_compare import aligned, assert_same_fits, assert_same_image_table, project_face, run_face
from support.montage_sets import template_lines
from support.shared import shared_path

from nbmosaic.compat import montage

pytestmark = [pytest.mark.slow, pytest.mark.peer]


def grid(ctype: str, crval: tuple[float, float], shape: tuple[int, int], step: float, turn: float) -> str:
    """Template about a place."""
    lat = {"RA--": "DEC-", "GLON": "GLAT"}[ctype[:4]] + ctype[4:]
    header = fits.Header({"CTYPE1": ctype, "CTYPE2": lat, "CRVAL1": crval[0], "CRVAL2": crval[1], "EQUINOX": 2000.0})
    header.update({"CRPIX1": (shape[1] + 1) / 2, "CRPIX2": (shape[0] + 1) / 2, "CDELT1": -step, "CDELT2": step, "CROTA2": turn})
    return template_lines(header, shape[1], shape[0])


def inner_residual(ours: Path, theirs: Path, margin: int) -> tuple[float, float]:
    """Rms difference, and of Montage's values, where areas agree to 0.001 of a pixel and `margin` pixels from the edge of the template.

    Montage drops input pixels that cross the edge of the template, and single areas of mProject are wrong (both are rare inside: 1 in 1000).
    """
    a, b = aligned(ours, theirs)
    area, golden = aligned(*(path.with_name(f"{path.stem}_area.fits") for path in (ours, theirs)))
    where = (slice(margin, -margin), slice(margin, -margin))
    a, b, wrong = a[where], b[where], (np.abs(area - golden) > 1e-3 * np.median(golden[golden > 0]))[where]
    assert wrong.mean() < 1e-3
    return float(np.sqrt(np.nanmean((a - b)[~wrong] ** 2))), float(np.nanstd(b))


def test_galactic_centre(tmp_path: Path) -> None:
    """2MASS K (RA---TAN) and MSX E (GLON-CAR) in one chain: two bands, so the planes are meaningless, but they are the same planes."""
    folder = shared_path("data/frames")
    frames = [folder / "gc_2mass_k.fits.gz", folder / "gc_msx_e.fits.gz"]
    theirs = run_montage(frames, grid("RA---TAN", (266.4, -28.95), (400, 400), 0.003, 20.0), tmp_path / "theirs")
    template = theirs.folder / "template.hdr"
    assert montage.mImgtbl(theirs.folder / "raw", tmp_path / "i.tbl")["status"] == "0"
    assert_same_image_table(read_ipac(tmp_path / "i.tbl"), read_ipac(theirs.folder / "raw.tbl"), elsewhere=["msx"])
    ours = project_face(theirs.folder / "raw", template, tmp_path / "ours")
    rms, spread = inner_residual(ours / "hdu0_gc_2mass_k.fits", theirs.folder / "projected/hdu0_gc_2mass_k.fits", 2)
    assert rms < 3e-5  # single precision of values of 500 to 3000
    run_face(theirs.folder / "projected", theirs, template, tmp_path / "run")
    assert_same_fits(read_ipac(tmp_path / "run/fits.tbl"), read_ipac(theirs.folder / "fits.tbl"))
    assert (tmp_path / "run/corrections.tbl").read_text() == (theirs.folder / "corrections.tbl").read_text()
    covered = fits.getdata(tmp_path / "run/mosaic_area.fits") > 0
    assert (covered == np.isfinite(theirs.mosaic)).all()
    assert np.abs(fits.getdata(tmp_path / "run/mosaic.fits") - theirs.mosaic)[covered].max() < 1e-9 * spread


@pytest.mark.parametrize(
    ("name", "crval", "step", "margin", "limit"),
    [("gc_msx_e", (0.0, 0.1), 0.004, 4, 1e-6), ("spitzer_example_image", (18.2, 0.2), 0.0005, 2, 3e-5)],
)
def test_galactic_maps(name: str, crval: tuple[float, float], step: float, margin: int, limit: float, tmp_path: Path) -> None:
    """GLON-CAR maps on a turned GLON-TAN template by mProject; `limit` is a fraction of the spread of the values."""
    with fits.open(shared_path(f"data/frames/{name}.fits.gz")) as hdus:
        fits.PrimaryHDU(hdus[0].data, hdus[0].header).writeto(tmp_path / "in.fits", output_verify="silentfix")
    (tmp_path / "t.hdr").write_text(grid("GLON-TAN", crval, (240, 300), step, -33.0))
    assert call_montage(tmp_path, [("mProject", ("in.fits", "theirs.fits", "t.hdr"), {})])[0]["status"] == "0"
    assert montage.mProject(tmp_path / "in.fits", tmp_path / "ours.fits", tmp_path / "t.hdr")["status"] == "0"
    rms, spread = inner_residual(tmp_path / "ours.fits", tmp_path / "theirs.fits", margin)
    assert rms < limit * spread
