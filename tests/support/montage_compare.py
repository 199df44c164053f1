"""The face's chain on the frames that MontagePy had, and comparisons of the two programs' files as printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS
from support.montage import MontageRun
from support.montage_calls import call_montage

from nbmosaic.compat import montage

__all__ = ["aligned", "assert_same_fits", "assert_same_image_table", "equatorial_twin", "project_face", "run_face", "take_outline"]

CENTRE = {"cntr", "ra", "dec", "cra", "cdec"}
"""Numbers that depend on the order of the folder, and the centre, which Montage puts half a pixel off."""


def run_steps(steps: Sequence[tuple[str, Sequence[object], dict[str, object]]]) -> None:
    """Calls of the face that must succeed."""
    for name, arguments, options in steps:
        answer = getattr(montage, name)(*arguments, **options)
        assert answer["status"] == "0", (name, answer)


def project_face(raw: Path, template: Path, folder: Path, *, exact: bool = False) -> Path:
    """Our projected frames, in ``folder/projected``."""
    (folder / "projected").mkdir(parents=True)
    images = folder / "raw.tbl"
    run_steps([("mImgtbl", [raw, images], {}), ("mProjExec", [raw, images, template], {"projdir": folder / "projected", "exact": exact})])
    return folder / "projected"


def run_face(frames: Path, theirs: MontageRun, template: Path, folder: Path, *, corrections: Path | None = None) -> Path:
    """Match and add projected frames, with all defaults.

    The order is that of Montage's image table: it decides which frame of a pair is subtracted from the other, and mDiff's limits on the areas are not the same
    both ways. Montage takes the order in which the system lists the folder, so its own mosaics differ by 0.01 DN between two disks.

    Parameters
    ----------
    frames : Path
        Folder of projected frames.
    theirs : MontageRun
        Montage's run.
    template : Path
        Grid of the frames.
    folder : Path
        Where everything goes.
    corrections : Path, optional
        Corrections to take for our own.
    """
    for name in ("differences", "corrected"):
        (folder / name).mkdir(parents=True)
    table = theirs.folder / "projected.tbl"
    run_steps(
        [
            ("mOverlaps", [table, folder / "diffs.tbl"], {}),
            ("mDiffFitExec", [frames, folder / "diffs.tbl", template, folder / "differences", folder / "fits.tbl"], {}),
            ("mBgModel", [table, folder / "fits.tbl", folder / "corrections.tbl"], {}),
            ("mBgExec", [frames, table, corrections or folder / "corrections.tbl", folder / "corrected"], {}),
            ("mImgtbl", [folder / "corrected", folder / "corrected.tbl"], {}),
            ("mAdd", [folder / "corrected", folder / "corrected.tbl", template, folder / "mosaic.fits"], {"haveAreas": True}),
        ]
    )
    return folder


def aligned(ours: Path, theirs: Path) -> tuple[np.ndarray, np.ndarray]:
    """Two images on one grid, on the box of the second, by their CRPIX; NaN where the first has no pixel."""
    first, second = fits.getheader(ours), fits.getheader(theirs)
    data, wanted = fits.getdata(ours), fits.getdata(theirs)
    x, y = (round(first[f"CRPIX{i}"] - second[f"CRPIX{i}"]) for i in (1, 2))
    out = np.full(wanted.shape, np.nan)
    ny, nx = (min(n - max(0, -k), m - max(0, k)) for n, m, k in zip(wanted.shape, data.shape, (y, x), strict=True))
    out[max(0, -y) : max(0, -y) + ny, max(0, -x) : max(0, -x) + nx] = data[max(0, y) : max(0, y) + ny, max(0, x) : max(0, x) + nx]
    return out, wanted


def take_outline(ours: Path, theirs: Path) -> int:
    """Rewrite our projected frame so that it has just the pixels that Montage's has; returns how many that changes.

    Montage loses a row or column at the edge of some frames, and has overlaps of less than a millionth of a pixel, which we leave out. Few pixels; but
    they take part in mean areas and boxes of the overlaps, and so shift levels by thousandths of a DN.
    """
    header, changed = fits.getheader(ours), 0
    for key in ("CRPIX1", "CRPIX2"):
        header[key] = fits.getval(theirs, key)
    blank = np.isnan(fits.getdata(theirs))
    size = int(np.isfinite(fits.getdata(ours)).sum())
    for end, void in (("", np.nan), ("_area", 0.0)):
        path = ours.with_name(f"{ours.stem}{end}.fits")
        mine, wanted = aligned(path, theirs.with_name(f"{theirs.stem}{end}.fits"))
        lacking = ~blank & ~(np.isfinite(mine) & ((mine > 0) | (end == "")))
        changed = max(changed, int(lacking.sum()) + size - int((~blank & ~lacking).sum()))
        mine[lacking] = wanted[lacking]
        mine[blank] = void
        fits.PrimaryHDU(mine, header).writeto(path, overwrite=True)
    return changed


def assert_same_image_table(ours: pd.DataFrame, theirs: pd.DataFrame, *, elsewhere: Sequence[str] = ()) -> None:
    """Equal as printed, but for the centre (half a pixel off in Montage's tables) and what single precision costs Montage.

    CRPIX passes through single precision in Montage: the last printed digit of 100, 0.0001 for a reference pixel 2000 pixels away. Corners in right
    ascension and declination of files named in `elsewhere` may be 0.5 arcsec apart: Montage's change of systems is off by that.
    """
    a, b = (table.set_index("fname").sort_index() for table in (ours, theirs))
    assert list(a) == list(b)
    assert list(a.index) == list(b.index)
    for column in set(a) - CENTRE:
        x, y = a[column], b[column]
        if not pd.api.types.is_numeric_dtype(x):
            assert (x == y).all(), column
            continue
        wrong = np.abs(x.to_numpy(float) - y.to_numpy(float))
        limit = np.zeros(len(a))
        if column in {"crpix1", "crpix2"}:
            limit = 1.5e-5 + np.spacing(np.abs(y.to_numpy("f4"))) / 2
        elif column == "crota2":
            limit += 1.5e-7
        elif column[:2] in {"ra", "de"}:
            narrow = np.cos(np.radians(b["dec" + column[-1]].to_numpy(float))) if column.startswith("ra") else 1.0
            limit = np.where([any(word in str(name) for word in elsewhere) for name in a.index], 0.5 / 3600 / narrow, 2e-7)
        assert (np.nan_to_num(wrong) <= limit).all(), (column, wrong)
        assert (x.isna() == y.isna()).all()


def assert_same_fits(ours: pd.DataFrame, golden: pd.DataFrame) -> None:
    """Every row as printed, but for one in the last digit of plane, rms and centre."""
    assert list(ours) == list(golden)
    assert ours[["plus", "minus"]].to_numpy().tolist() == golden[["plus", "minus"]].to_numpy().tolist()
    for column in set(ours) - {"plus", "minus"}:
        x, y = ours[column].to_numpy(float), golden[column].to_numpy(float)
        limit = {"xcenter": 0.011, "ycenter": 0.011}.get(column, 0.0)
        if column in {"a", "b", "c", "rms"}:  # five decimals of the mantissa; the other columns have fixed ones
            limit = 1.1e-5 * 10.0 ** np.floor(np.log10(np.abs(y) + 1e-300))
        assert (np.abs(x - y) <= limit).all(), (column, np.abs(x - y).max())


def equatorial_twin(header: fits.Header, shape: tuple[int, int], folder: Path) -> fits.Header:
    """Header of a GLON-TAN image as a RA---TAN one, by MontagePy's own change of systems.

    That one is 0.4 arcsec off. With a header that has its places, our frames and Montage's can be compared to the last digit. A tangent plane stays
    one under a turn of the sky, and what is not a turn in Montage's change is below 1e-5 arcsec in a field of half a degree.
    """
    ny, nx = shape
    places = np.array([(header["CRPIX1"], header["CRPIX2"]), (1.0, 1.0), (1.0, ny), (nx, 1.0), (nx, ny)])
    folder.mkdir(parents=True, exist_ok=True)
    for k, (lon, lat) in enumerate(WCS(header).wcs_pix2world(places, 1)):  # mExamine gives the centre of an image in double precision
        cards = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": float(lon), "CRVAL2": float(lat), "CRPIX1": 2.0, "CRPIX2": 2.0}
        one = fits.Header({**cards, "CDELT1": -0.001, "CDELT2": 0.001})
        fits.PrimaryHDU(np.ones((3, 3), "f4"), one).writeto(folder / f"place{k}.fits", overwrite=True)
    answers = call_montage(folder, [("mExamine", (f"place{k}.fits",), {}) for k in range(len(places))])
    sky = [(answer["rac"], answer["decc"]) for answer in answers]
    flat = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": sky[0][0], "CRVAL2": sky[0][1], "CRPIX1": 0.0, "CRPIX2": 0.0})
    flat.update({"CDELT1": 1.0, "CDELT2": 1.0})
    plane = WCS(flat).wcs_world2pix(sky, 1)
    matrix, *_ = np.linalg.lstsq(places - places[0], plane, rcond=None)
    assert np.abs((places - places[0]) @ matrix - plane).max() * 3600 < 1e-5
    twin = fits.Header({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": sky[0][0], "CRVAL2": sky[0][1], "EQUINOX": 2000.0})
    twin.update({"CRPIX1": float(places[0, 0]), "CRPIX2": float(places[0, 1])})
    twin.update({f"CD{i + 1}_{j + 1}": float(matrix[j, i]) for i in (0, 1) for j in (0, 1)})
    return twin
