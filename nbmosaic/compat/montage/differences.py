"""Differences of projected images and planes fitted to them: mDiff, mDiffExec, mFitplane, mFitExec, mDiffFitExec."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.batch import Batch, UnusableError, read_rows, write_text
from nbmosaic.compat.montage.files import (
    Template,
    need_columns,
    need_folder,
    need_number,
    need_table,
    open_grid_image,
    open_image,
    read_grid,
)
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import InputError

if TYPE_CHECKING:
    from nbmosaic.compat.montage.files import GridImage
    from nbmosaic.core.matching.montage_fit import Difference, PlaneFit
    from nbmosaic.core.resampling.workspace import Workspace
    from nbmosaic.types import PixelBox

__all__ = ["mDiff", "mDiffExec", "mDiffFitExec", "mFitExec", "mFitplane"]

_PAIRS = ("cntr1", "cntr2", "plus", "minus", "diff")
_FIT_HEAD = (
    ("plus", 9), ("minus", 9), ("a", 16), ("b", 16), ("c", 16), ("crpix1", 14), ("crpix2", 14), ("xmin", 10), ("xmax", 10), ("ymin", 10),
    ("ymax", 10), ("xcenter", 13), ("ycenter", 13), ("npixel", 13), ("rms", 16), ("boxx", 16), ("boxy", 16), ("boxwidth", 16),
    ("boxheight", 16), ("boxang", 16),
)  # fmt: skip
_KEPT_IN_MEMORY = 6  # images that cannot be mapped (packed, float32): 70 MB each for 2048 x 2048 pixels with area


def _subtract(
    plus: GridImage, minus: GridImage, template: Template, factor: float, *, want_area: bool, workspace: Workspace
) -> tuple[Difference, PixelBox]:
    """Difference of two open images, and the pixels of the template that it covers."""
    from nbmosaic.core.matching.montage_fit import common_rectangle, difference

    box = common_rectangle(plus.box, minus.box, template.grid.shape)
    if box.empty:
        raise UnusableError("Images don't overlap")
    windows = {}
    for name, one in (("plus", plus), ("minus", minus)):
        for kind, image in (("", one.image), ("_area", one.area)):
            if image is not None:
                buffer = workspace.array(name + kind, (box.size,), "f8")
                windows[name + kind] = image.window(box.slices(one.box), buffer)
    out = workspace.array("difference", box.shape, "f8")
    done = difference(
        windows["plus"],
        windows["minus"],
        plus_area=windows.get("plus_area"),
        minus_area=windows.get("minus_area"),
        factor=factor,
        want_area=want_area,
        out=out,
    )
    if done is None:
        raise UnusableError("All pixels are blank.")
    y, x = done.offset
    ny, nx = done.data.shape
    from nbmosaic.types import PixelBox

    return done, PixelBox(box.ymin + y, box.ymin + y + ny, box.xmin + x, box.xmin + x + nx)


def _write(done: Difference, box: PixelBox, template: Template, output: str) -> None:
    from nbmosaic.io.float64 import area_name, write_image64

    cards = template.cards(box)
    write_image64(output, done.data, cards)
    if done.area is not None:
        write_image64(area_name(output), done.area, cards)


class _Opened:
    """Open images by file name; mapped ones stay open, others are read again when too many are in memory."""

    def __init__(self, folder: str, template: Template, *, areas: bool) -> None:
        self.folder, self.template, self.areas = folder, template, areas
        self._mapped: dict[str, GridImage] = {}
        self._loaded: dict[str, GridImage] = {}

    def get(self, name: str) -> GridImage:
        """The image of a file name relative to the folder."""
        import numpy as np

        if name in self._mapped:
            return self._mapped[name]
        if name in self._loaded:
            return self._loaded[name]
        opened = open_grid_image(str(Path(self.folder, name)), self.template, areas=self.areas)
        if isinstance(opened.image.stored, np.memmap):
            self._mapped[name] = opened
        else:
            while len(self._loaded) >= _KEPT_IN_MEMORY:
                self._loaded.pop(next(iter(self._loaded)))
            self._loaded[name] = opened
        return opened


@montage_call
def mDiff(
    input_file1: Any, input_file2: Any, output_file: Any, template_file: Any, noAreas: bool = False, factor: float = 1.0, debug: int = 0
) -> Answer:
    """Subtract two images that lie on one grid.

    Parameters
    ----------
    input_file1, input_file2 : path
        Projected images (any BITPIX), with their ``_area`` files unless `noAreas`.
    output_file : path
        Difference, BITPIX -64, cropped to the pixels kept; its area (sum of both) goes to the ``_area`` file.
    template_file : path
        Header template of the grid.
    noAreas : bool
        Use no area files: every finite pixel counts fully.
    factor : float
        Factor on the second image.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``time`` (s), ``min_pixel``, ``max_pixel`` (values times area), ``min_diff``, ``max_diff`` (absolute differences), or ``msg``.

    Notes
    -----
    Rules: `nbmosaic.core.matching.montage_fit`. Differs from Montage: a missing image is named itself, not its area file; ``min_diff`` is the smallest absolute
    difference (Montage starts the search from the first value with its sign); the place of an image on the template is its CRPIX difference rounded to whole
    pixels (Montage cuts it off: with CRPIX1 = 192.962 in the template and 99.962 in the image that is 92.999..., and the image is taken a pixel off).

    Examples
    --------
    >>> mDiff("a.fits", "b.fits", "diff.fits", "mosaic.hdr")["status"]
    '1'
    """
    from nbmosaic.core.resampling.workspace import Workspace

    start = time.perf_counter()
    first, second = path_text(input_file1, "input_file1"), path_text(input_file2, "input_file2")
    output = path_text(output_file, "output_file")
    template = read_grid(path_text(template_file, "template_file"))
    plus, minus = (open_grid_image(name, template, areas=not noAreas) for name in (first, second))
    done, box = _subtract(plus, minus, template, need_number(factor, "factor"), want_area=not noAreas, workspace=Workspace())
    _write(done, box, template, output)
    low, high = done.pixel_range
    small, large = done.difference_range
    return {"time": time.perf_counter() - start, "min_pixel": low, "max_pixel": high, "min_diff": small, "max_diff": large}


@montage_call
def mDiffExec(path: Any, difffile: Any, template: Any, diffdir: Any = "./", noAreas: bool = False, debug: int = 0) -> Answer:
    """Run mDiff for every row of a table of overlapping pairs.

    Parameters
    ----------
    path : path
        Folder of the projected images.
    difffile : path
        Table of mOverlaps: ``cntr1 cntr2 plus minus diff``.
    template : path
        Header template of the grid.
    diffdir : path
        Folder for the differences (there already).
    noAreas : bool
        Use no area files.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``count``, ``failed``; ``msg`` names what failed.

    Notes
    -----
    Differs from Montage: ``status`` is '1' where a pair failed (a file that is missing or damaged; the other pairs are done) or no pair was done; pairs without
    common valid pixels are counted in ``failed`` but leave it '0'. Both are named in ``msg``.

    Examples
    --------
    >>> mDiffExec(".", "no.tbl", "mosaic.hdr")["msg"]
    b'Invalid diffs metadata file: no.tbl'
    """
    from nbmosaic.core.resampling.workspace import Workspace

    pairs = _pairs(path_text(difffile, "difffile"))
    grid = read_grid(path_text(template, "template"))
    where = path_text(diffdir, "diffdir")
    need_folder(where, f"Cannot access {where}")
    opened, workspace = _Opened(path_text(path, "path"), grid, areas=not noAreas), Workspace()
    batch = Batch()
    for pair in pairs:
        with batch.member(f"{pair['plus']} - {pair['minus']}"):
            done, box = _subtract(
                opened.get(pair["plus"]), opened.get(pair["minus"]), grid, 1.0, want_area=not noAreas, workspace=workspace
            )
            _write(done, box, grid, str(Path(where, pair["diff"])))
    return batch.answer(count=len(pairs), failed=batch.failed)


def _pairs(table: str) -> list[dict[str, Any]]:
    found = need_table(table, f"Invalid diffs metadata file: {table}")
    need_columns(found, _PAIRS, "Need columns: cntr1 cntr2 plus minus diff")
    return read_rows(found, _PAIRS)


def _fit(
    image: Any, crpix: tuple[float, float], name: str, *, level: bool, border: int = 0, nofit: bool = False, scratch: Any = None
) -> PlaneFit:
    """Fit with Montage's words for what cannot be fitted."""
    from nbmosaic.core.matching.montage_fit import ITERATIONS, fit_plane

    if border < 0:
        raise InputError(f"border is {border}, expected 0 or more pixels")
    if min(image.shape) < 2 and not (level or nofit):
        raise UnusableError(f"Too few pixels to fit ({name} has {image.shape[1]} x {image.shape[0]})")
    fit = fit_plane(image, crpix, level_only=level, border=border, iterations=0 if nofit else ITERATIONS, scratch=scratch)
    if fit is None:
        raise UnusableError(
            f"Singular Matrix-2 ({name} has no valid pixels{f' inside the border of {border}' if border else ''}, or all on one line)"
        )
    return fit


@montage_call
def mFitplane(input_file: Any, nofit: bool = False, levelOnly: bool = False, border: int = 0, debug: int = 0) -> Answer:
    """Fit a plane to an image, usually a difference.

    Parameters
    ----------
    input_file : path
        The image; of a file with an empty primary HDU the first image.
    nofit : bool
        Geometry only: the plane is 0.
    levelOnly : bool
        Fit a constant.
    border : int
        Pixels on every side that do not enter the fit (they do enter the box).
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status`` and ``a b`` (unit per pixel), ``c`` (unit), ``crpix1 crpix2``, ``xmin xmax ymin ymax xcenter ycenter`` (0-based pixel minus CRPIX),
        ``npixel``, ``rms`` (of residuals clipped 20 times at 2 sigma: 0.73 of the standard deviation), ``boxx boxy boxwidth boxheight boxang``.

    Notes
    -----
    Differs from Montage: an image without valid pixels is an error with `levelOnly` too (Montage answers nan); a file without CRPIX is an error
    (Montage uses uninitialised memory); an exact plane gives that plane.

    Examples
    --------
    >>> mFitplane("no.fits")["msg"]
    b'Image file no.fits missing or invalid FITS'
    """
    name = path_text(input_file, "input_file")
    fit, crpix = _fit_file(name, level=bool(levelOnly), border=int(need_number(border, "border")), nofit=bool(nofit))
    return _plane_keys(fit, crpix)


def _fit_file(name: str, *, level: bool, border: int = 0, nofit: bool = False) -> tuple[PlaneFit, tuple[float, float]]:
    image = open_image(name)
    for key in ("CRPIX1", "CRPIX2"):
        if key not in image.cards:
            raise InputError(f"No {key} keyword in FITS header of {name}")
    crpix = (image.cards.number("CRPIX1", 0.0), image.cards.number("CRPIX2", 0.0))
    return _fit(image.pixels(), crpix, name, level=level, border=border, nofit=nofit), crpix


def _plane_keys(fit: PlaneFit, crpix: tuple[float, float]) -> dict[str, Any]:
    """Values of a fit in Montage's order."""
    values = asdict(fit)
    order = [name for name, _ in _FIT_HEAD[2:] if not name.startswith("crpix")]
    keys = {name: values[name] for name in order}
    return {"a": keys.pop("a"), "b": keys.pop("b"), "c": keys.pop("c"), "crpix1": crpix[0], "crpix2": crpix[1], **keys}


@montage_call
def mFitExec(tblfile: Any, fitfile: Any, diffdir: Any = "./", levelOnly: bool = False, debug: int = 0) -> Answer:
    """Run mFitplane for every difference of a table of overlapping pairs.

    Parameters
    ----------
    tblfile : path
        Table of mOverlaps.
    fitfile : path
        Table of fits to write.
    diffdir : path
        Folder of the differences.
    levelOnly : bool
        Fit constants.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``count``, ``failed``, ``warning`` (always 0), ``missing`` (differences that are not there); ``msg`` names what failed.

    Notes
    -----
    Differs from Montage: ``status`` is '1' where a file failed (it is damaged; the others are fitted) or nothing was fitted; missing differences, and
    those with too few pixels for a plane, are counted but leave it '0'. All are named in ``msg`` and in comment lines at the head of the table.

    Examples
    --------
    >>> mFitExec("no.tbl", "fits.tbl")["msg"]
    b'Invalid diffs metadata file: no.tbl'
    """
    pairs = _pairs(path_text(tblfile, "tblfile"))
    where, output = path_text(diffdir, "diffdir"), path_text(fitfile, "fitfile")
    need_folder(where, f"Cannot access {where}")
    batch, rows, missing = Batch(), [], 0
    for pair in pairs:
        name = str(Path(where, pair["diff"]))
        if not Path(name).exists():
            missing += 1
            batch.leave_out(pair["diff"], "no such file")
            continue
        with batch.member(pair["diff"]):
            fit, crpix = _fit_file(name, level=bool(levelOnly))
            rows.append({"plus": pair["cntr1"], "minus": pair["cntr2"], **_plane_keys(fit, crpix)})
    head = "|" + "|".join(f"{name:>{width}}" for name, width in _FIT_HEAD) + "|"
    write_text(output, _fits_text(rows, batch, head))
    return batch.answer(count=len(pairs), failed=batch.failed, warning=0, missing=missing)


def _fits_text(rows: list[dict[str, Any]], batch: Batch, head: str | None = None) -> str:
    """Table of fits, after comment lines that name what failed."""
    import pandas as pd

    from nbmosaic.io.layouts import montage_text

    lines = montage_text(pd.DataFrame(rows, columns=[name for name, _ in _FIT_HEAD]), "fits").split("\n")
    if head is not None:
        lines[0] = head
    return "\n".join([*batch.comments(), *lines])


@montage_call
def mDiffFitExec(
    path: Any,
    tblfile: Any,
    template: Any,
    diffdir: Any,
    fitfile: Any,
    keepAll: bool = False,
    levelOnly: bool = False,
    noAreas: bool = False,
    archive: str = "",
    debug: int = 0,
) -> Answer:
    """Subtract and fit every pair of a table, without files in between.

    Parameters
    ----------
    path : path
        Folder of the projected images.
    tblfile : path
        Table of mOverlaps.
    template : path
        Header template of the grid.
    diffdir : path
        Folder for the differences; used with `keepAll` only.
    fitfile : path
        Table of fits to write.
    keepAll : bool
        Write the differences.
    levelOnly : bool
        Fit constants.
    noAreas : bool
        Use no area files.
    archive : str
        Montage's address of remote images: not supported, it has to be empty.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``count``, ``diff_failed``, ``fit_failed``, ``warning`` (always 0); ``msg`` names what failed.

    Notes
    -----
    The table agrees with Montage's to print precision; see `nbmosaic.core.matching.montage_fit`. Differs from Montage: ``status`` is '1' where a pair
    failed (a file that is missing or damaged; the other pairs are done) or no pair was done. Pairs without common valid pixels, or too few for a plane,
    are counted in ``diff_failed`` and ``fit_failed`` but leave it '0'. All are named in ``msg`` and in comment lines at the head of the table. A table
    that cannot be written is an error (Montage crashes).

    Examples
    --------
    >>> mDiffFitExec(".", "no.tbl", "mosaic.hdr", ".", "fits.tbl")["msg"]
    b'Invalid diffs metadata file: no.tbl'
    """
    from nbmosaic.core.resampling.workspace import Workspace
    from nbmosaic.io.output import check_output

    if archive:
        raise InputError(f"archive is {archive!r}: images have to be local files")
    pairs = _pairs(path_text(tblfile, "tblfile"))
    grid = read_grid(path_text(template, "template"))
    where, output = path_text(diffdir, "diffdir"), path_text(fitfile, "fitfile")
    if keepAll:
        need_folder(where, f"Cannot access {where}")
    check_output(output, overwrite=True)
    opened, workspace = _Opened(path_text(path, "path"), grid, areas=not noAreas), Workspace()
    keep: Callable[[Difference, PixelBox, str], None] = lambda done, box, name: _write(done, box, grid, str(Path(where, name)))  # noqa: E731 - one line
    batch, fits, rows = Batch(), Batch(), []
    for pair in pairs:
        name, done, box = f"{pair['plus']} - {pair['minus']}", None, None
        with batch.member(name):
            done, box = _subtract(
                opened.get(pair["plus"]), opened.get(pair["minus"]), grid, 1.0, want_area=keepAll and not noAreas, workspace=workspace
            )
            if keepAll:
                keep(done, box, pair["diff"])
        if done is None or box is None:
            continue
        with fits.member(name):
            crpix = (grid.crpix[0] - box.xmin, grid.crpix[1] - box.ymin)
            scratch = workspace.array("listed", (3, done.data.size // 4 + 64), "f8")
            fit = _fit(done.data, crpix, "the difference", level=bool(levelOnly), scratch=scratch)
            rows.append({"plus": pair["cntr1"], "minus": pair["cntr2"], **_plane_keys(fit, crpix)})
    both = batch.joined(fits)
    write_text(output, _fits_text(rows, both))
    return both.answer(count=len(pairs), diff_failed=batch.failed, fit_failed=fits.failed, warning=0)
