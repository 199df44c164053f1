"""The background model and its subtraction: mBgModel, mBackground, mBgExec."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.batch import Batch, read_rows, write_text
from nbmosaic.compat.montage.files import need_columns, need_folder, need_number, need_table, open_image
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

    from nbmosaic._types import BoolArray, FloatArray
    from nbmosaic.core.matching.relaxation import Relaxed
    from nbmosaic.core.resampling.workspace import Workspace

__all__ = ["mBackground", "mBgExec", "mBgModel"]

_FIT = (
    "plus", "minus", "a", "b", "c", "crpix1", "crpix2", "xmin", "xmax", "ymin", "ymax", "xcenter", "ycenter", "npixel", "rms", "boxx", "boxy",
    "boxwidth", "boxheight", "boxang",
)  # fmt: skip
_STRIP = 1 << 17  # pixels done together: 1 MB of float64


@montage_call
def mBgModel(
    input_file: Any,
    fit_file: Any,
    corr_file: Any,
    gap_dir: Any = "",
    noslope: bool = False,
    useall: bool = False,
    niteration: int = 10000,
    debug: int = 0,
) -> Answer:
    """Background corrections of all images from the planes of their overlaps.

    Parameters
    ----------
    input_file : path
        Table of the projected images (mImgtbl).
    fit_file : path
        Table of the fits (mFitExec, mDiffFitExec).
    corr_file : path
        Table of corrections to write: ``id a b c``, by id; images without usable overlap are not in it.
    gap_dir : path
        Montage's tables of wrapped all-sky maps: not supported, it has to be empty.
    noslope : bool
        Levels only.
    useall : bool
        Use overlaps with less than 0.001 of the mean image, too.
    niteration : int
        Iterations of the relaxation (0: 10000).
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``; ``msg`` says where the images fall into groups without overlap between them, or an image is not used.

    Notes
    -----
    Montage's own relaxation, iteration by iteration (`nbmosaic.core.matching.relaxation`): tables agree digit for digit, which includes that large mosaics are
    not converged (5 DN at 100 x 100 images). `nbmosaic.background` solves the same equations exactly. Differs from Montage: a negative `niteration` and an
    overlap that names an unknown image are errors; disconnected groups and unused images are mentioned.

    Examples
    --------
    >>> mBgModel("no.tbl", "fits.tbl", "corrections.tbl")["msg"]
    b'Invalid image metadata file: no.tbl'
    """
    import pandas as pd

    from nbmosaic.io.layouts import montage_text
    from nbmosaic.io.output import check_output

    images, fits, output = path_text(input_file, "input_file"), path_text(fit_file, "fit_file"), path_text(corr_file, "corr_file")
    if path_text(gap_dir, "gap_dir"):
        raise InputError(f"gap_dir is {gap_dir!r}: gap tables of all-sky maps are not supported")
    niteration = int(need_number(niteration, "niteration"))
    if niteration < 0:
        raise InputError(f"niteration is {niteration}, expected 1 or more (0: 10000)")
    ids, mean_area = _image_ids(need_table(images, f"Invalid image metadata file: {images}"))
    table = need_table(fits, f"Invalid background fit parameters file: {fits}")
    need_columns(table, _FIT, f"Need columns: {' '.join(_FIT)}")
    check_output(output, overwrite=True)
    members, model = _relaxed(table, fits, set(ids), mean_area, slope=not noslope, useall=bool(useall), iterations=niteration)
    used = model.component >= 0
    planes = model.planes[used]
    rows = pd.DataFrame({"id": members[used], "a": planes[:, 0], "b": planes[:, 1], "c": planes[:, 2]})
    write_text(output, montage_text(rows, "corrections"))
    return _remarks(ids, members, model)


def _image_ids(table: DataFrame) -> tuple[list[int], float]:
    """Numbers of the images and their mean number of pixels."""
    cntr, _, height, width, _, _ = need_columns(
        table,
        [("cntr", "id"), ("fname", "file", "plate"), ("nl", "naxis2"), ("ns", "naxis1"), "crpix1", "crpix2"],
        "Need columns: cntr, fname, nl, ns, crpix1 and crpix2 in image info file.",
    )
    return [int(v) for v in cntr], float((height.to_numpy(float) * width.to_numpy(float)).mean()) if len(table) else 0.0


def _relaxed(
    table: DataFrame, name: str, ids: set[int], mean_area: float, *, slope: bool, useall: bool, iterations: int
) -> tuple[Any, Relaxed]:
    """Images of a fits table by rising number, and their corrections."""
    import numpy as np

    from nbmosaic.core.matching.relaxation import DEFAULT_ITERATIONS, box_moments, relax_background, used_overlaps

    def column(key: str) -> FloatArray:
        try:
            values: FloatArray = table[key].to_numpy(float)
        except (TypeError, ValueError):
            raise InputError(f"{name}: column {key} holds what is not a number") from None
        return values

    pairs = np.stack([column("plus"), column("minus")]).astype(np.int64)
    members, places = np.unique(pairs, return_inverse=True)
    unknown = [int(v) for v in members if int(v) not in ids]
    if unknown:
        raise InputError(f"{name} names image {unknown[0]}, which the image table does not have")
    plus, minus = places.reshape(pairs.shape)
    planes = np.stack([column("a"), column("b"), column("c")], axis=1)
    moments = box_moments(*(column(key) for key in ("boxx", "boxy", "boxwidth", "boxheight", "boxang")))
    use: BoolArray = np.asarray(np.isfinite(planes).all(axis=1) & np.isfinite(moments).all(axis=1))
    if not useall:
        use = use & used_overlaps(column("npixel"), column("rms"), mean_area)
    number = iterations or DEFAULT_ITERATIONS
    return members, relax_background(plus, minus, planes, moments, len(members), use=use, iterations=number, slope=slope)


def _remarks(ids: list[int], members: Any, model: Relaxed) -> Answer:
    """What the answer of mBgModel should not hide."""
    used = set(members[model.component >= 0].tolist())
    left_out = [one for one in ids if one not in used]
    groups = len(set(model.component[model.component >= 0].tolist()))
    remarks = []
    if groups > 1:
        remarks.append(f"{groups} groups of images without overlap between them: their levels are independent")
    if left_out:
        named = ", ".join(map(str, left_out[:5])) + (", ..." if len(left_out) > 5 else "")
        remarks.append(f"{len(left_out)} of {len(ids)} images have no overlap that is used and get no correction: {named}")
    return {"msg": "; ".join(remarks).encode()} if remarks else {}


def _correct(source: str, output: str, plane: tuple[float, float, float], *, areas: bool, workspace: Workspace) -> None:
    """Write an image (and its area) without its background, a strip of rows at a time."""
    from nbmosaic.core.matching.montage_fit import subtract_plane
    from nbmosaic.io.float64 import area_name, writing_image64
    from nbmosaic.io.headers import wcs_values
    from nbmosaic.io.wcs_read import read_wcs

    image = open_image(source)
    area = open_image(area_name(source), what="Area") if areas else None
    if area is not None and area.shape != image.shape:
        raise InputError(f"Area file {area.path} has {area.shape} pixels, its image {image.shape}")
    cards = wcs_values(read_wcs(image.cards, image.naxis, where=source, path=source)[0])
    values = dict(cards)
    crpix = (float(values["CRPIX1"]), float(values["CRPIX2"]))
    ny, nx = image.shape
    step = max(1, _STRIP // nx)
    with ExitStack() as stack:
        writers = [stack.enter_context(writing_image64(output, image.shape, cards))]
        if area is not None:
            writers.append(stack.enter_context(writing_image64(area_name(output), image.shape, cards)))
        for start in range(0, ny, step):
            where = (slice(start, min(start + step, ny)), slice(0, nx))
            size = step * nx
            strip = image.window(where, workspace.array("image", (size,), "f8"))
            cover = None if area is None else area.window(where, workspace.array("area", (size,), "f8"))
            rows = subtract_plane(strip, cover, crpix, plane, start, in_place=True)
            for writer, part in zip(writers, rows, strict=False):
                assert part is not None
                writer.write(part)


@montage_call
def mBackground(input_file: Any, output_file: Any, A: float, B: float, C: float, noAreas: bool = False, debug: int = 0) -> Answer:
    """Subtract a plane from an image.

    Parameters
    ----------
    input_file, output_file : path
        Image and result (BITPIX -64), with their ``_area`` files unless `noAreas`.
    A, B, C : float
        Plane ``A x + B y + C`` with x, y = 0-based pixel minus 1-based CRPIX (unit per pixel, unit per pixel, unit).
    noAreas : bool
        Use no area file.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status`` and ``time`` (s), or ``msg``.

    Examples
    --------
    >>> mBackground("no.fits", "out.fits", 0, 0, 1)["msg"]
    b'Image file no.fits missing or invalid FITS'
    """
    from nbmosaic.core.resampling.workspace import Workspace

    start = time.perf_counter()
    source, output = path_text(input_file, "input_file"), path_text(output_file, "output_file")
    plane = (need_number(A, "A"), need_number(B, "B"), need_number(C, "C"))
    _correct(source, output, plane, areas=not noAreas, workspace=Workspace())
    return {"time": time.perf_counter() - start}


@montage_call
def mBgExec(path: Any, tblfile: Any, fitfile: Any, corrdir: Any, noAreas: bool = False, debug: int = 0) -> Answer:
    """Subtract the corrections of mBgModel from all images of a table.

    Parameters
    ----------
    path : path
        Folder of the projected images.
    tblfile : path
        Their table (mImgtbl).
    fitfile : path
        Table of corrections: ``id a b c``.
    corrdir : path
        Folder for the corrected images (there already).
    noAreas : bool
        Use no area files.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status``, ``count``, ``nocorrection`` (images without a row in the corrections: written unchanged), ``failed``; ``msg`` names what failed.

    Notes
    -----
    Differs from Montage: failed images are named in ``msg``, and ``status`` is '1' where an image failed; the others are done.

    Examples
    --------
    >>> mBgExec(".", "no.tbl", "corrections.tbl", ".")["msg"]
    b'Invalid image metadata file: no.tbl'
    """
    from nbmosaic.core.resampling.workspace import Workspace

    folder, images = path_text(path, "path"), path_text(tblfile, "tblfile")
    corrections, where = path_text(fitfile, "fitfile"), path_text(corrdir, "corrdir")
    table = need_table(images, f"Invalid image metadata file: {images}")
    cntr, fname = need_columns(table, [("cntr", "id"), ("fname", "file")], "Need columns: cntr fname in image list")
    found = need_table(corrections, f"Invalid corrections  file: {corrections}")
    need_columns(found, ("id", "a", "b", "c"), "Need columns: id a b c in corrections file")
    need_folder(where, f"Cannot access {where}")
    planes = {int(row["id"]): (float(row["a"]), float(row["b"]), float(row["c"])) for row in read_rows(found, ("id", "a", "b", "c"))}
    batch, missing, workspace = Batch(), 0, Workspace()
    for number, name in zip(cntr.tolist(), map(str, fname), strict=True):
        plane = planes.get(int(number))
        missing += plane is None
        with batch.member(name):
            target = str(Path(where, Path(name).name))
            _correct(str(Path(folder, name)), target, plane or (0.0, 0.0, 0.0), areas=not noAreas, workspace=workspace)
    return batch.answer(count=len(table), nocorrection=missing, failed=batch.failed)
