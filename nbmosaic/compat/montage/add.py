"""The coadd: mAdd."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.files import need_columns, need_table, open_grid_image, read_grid
from nbmosaic.compat.montage.status import Answer, montage_call, path_text
from nbmosaic.errors import InputError

if TYPE_CHECKING:
    from nbmosaic.compat.montage.files import GridImage, Template
    from nbmosaic.io.cards import CardList
    from nbmosaic.types import PixelBox

__all__ = ["mAdd"]

_COLUMNS = ("cntr", "fname", "crpix1", "crpix2", "cdelt1", "cdelt2", "naxis1", "naxis2", "crval1", "crval2", "ctype1", "ctype2")
_BAND = 1 << 18  # pixels of a band: 2 MB a plane
_STACK = 1 << 22  # values of a median's stack: 64 MB with areas


@montage_call
def mAdd(
    path: Any, tblfile: Any, template_file: Any, outfile: Any, shrink: bool = False, haveAreas: bool = False, coadd: int = 0, debug: int = 0
) -> Answer:
    """Add projected images to a mosaic.

    Parameters
    ----------
    path : path
        Folder of the images.
    tblfile : path
        Their table (mImgtbl).
    template_file : path
        Header template that they were projected with.
    outfile : path
        Mosaic, BITPIX -64; its area (steradians) goes to the ``_area`` file.
    shrink : bool
        Write only the part of the template that images cover.
    haveAreas : bool
        Weigh by the ``_area`` files (without them partial pixels at the edges count fully).
    coadd : int
        0 mean, 1 median, 2 count, 3 sum.
    debug : int
        Accepted for compatibility; it changes no number.

    Returns
    -------
    dict
        ``status`` and ``time`` (s), or ``msg``.

    Notes
    -----
    Formulas: `nbmosaic.core.montage_coadd`. Differs from Montage: the median of two values is their mean (Montage takes the lower one: 0.56 sigma too low);
    negative and zero values count; any number of images may overlap (Montage drops the rest of the line beyond 50).

    Examples
    --------
    >>> mAdd(".", "no.tbl", "mosaic.hdr", "mosaic.fits")["msg"]
    b'Invalid image metadata file: no.tbl'
    """
    from nbmosaic.core.montage_coadd import METHODS
    from nbmosaic.io.output import check_output

    start = time.perf_counter()
    folder, table, output = path_text(path, "path"), path_text(tblfile, "tblfile"), path_text(outfile, "outfile")
    if coadd not in range(len(METHODS)):
        raise InputError(f"coadd is {coadd!r}, expected 0 (mean), 1 (median), 2 (count) or 3 (sum)")
    images = need_table(table, f"Invalid image metadata file: {table}")
    need_columns(
        images,
        _COLUMNS,
        "Need columns: cntr,fname, crpix1, crpix2, cdelt1, cdelt2, naxis1, naxis2, crval1, crval2 ctype1, ctype2 in image list",
    )
    template = read_grid(path_text(template_file, "template_file"))
    check_output(output, overwrite=True)
    _Mosaic(folder, images, template, areas=bool(haveAreas)).write(output, METHODS[int(coadd)], shrink=bool(shrink))
    return {"time": time.perf_counter() - start}


class _Mosaic:
    """Images of a table on a template, opened while the bands that they fall on are added."""

    def __init__(self, folder: str, images: Any, template: Template, *, areas: bool) -> None:
        from nbmosaic.core.resampling.workspace import Workspace
        from nbmosaic.types import PixelBox

        if not len(images):
            raise InputError("the image table has no rows: nothing to add")
        self.template, self.areas = template, areas
        self.names = [str(Path(folder, str(name))) for name in images["fname"]]
        same = ("ctype1", "ctype2", "crval1", "crval2", "cdelt1", "cdelt2")
        for key in same:
            values = images[key].tolist()
            limit = 0.0 if key.startswith("ctype") else 1e-8 * max(1.0, abs(values[0]))
            for name, value in zip(images["fname"], values, strict=True):
                if value != values[0] and (not limit or not abs(value - values[0]) <= limit):
                    where = f"{key} of {name} is {value}, of {images['fname'].iloc[0]} {values[0]}"
                    raise InputError(f"Images are not in same pixel space: {where}")
        self.boxes = []
        for crpix1, crpix2, nx, ny in zip(images["crpix1"], images["crpix2"], images["naxis1"], images["naxis2"], strict=True):
            x0, y0 = round(template.crpix[0] - float(crpix1)), round(template.crpix[1] - float(crpix2))
            self.boxes.append(PixelBox(y0, y0 + int(ny), x0, x0 + int(nx)))
        self._open: dict[int, GridImage] = {}
        self._workspace = Workspace()  # fresh memory for each band costs as much as adding it
        values = self._reference()
        self.nominal = abs(math.radians(values["CDELT1"]) * math.radians(values["CDELT2"])) if areas else 1.0

    def _reference(self) -> dict[str, Any]:
        """WCS keywords of the template, with CDELT also where it has a CD matrix."""
        from nbmosaic.io.headers import wcs_values

        values = dict(wcs_values(self.template.grid.wcs))
        if "CDELT1" not in values:
            values["CDELT1"] = math.hypot(values["CD1_1"], values["CD2_1"])
            values["CDELT2"] = math.hypot(values["CD1_2"], values["CD2_2"])
        return values

    def _image(self, k: int) -> GridImage:
        if k not in self._open:
            one = open_grid_image(self.names[k], self.template, areas=self.areas)
            _check_header(one.image.cards, self._reference(), self.names[k])
            if one.image.shape != self.boxes[k].shape:
                raise InputError(f"Image {self.names[k]} has {one.image.shape} pixels, its row in the table {self.boxes[k].shape}")
            self._open[k] = one
        return self._open[k]

    def write(self, output: str, method: str, *, shrink: bool) -> None:
        """Add band by band."""
        from nbmosaic.core.montage_coadd import BandAdder
        from nbmosaic.io.float64 import area_name, writing_image64
        from nbmosaic.types import PixelBox

        self._image(0)
        whole = self.template.grid.box
        if shrink:
            covered = self.boxes[0]
            for box in self.boxes[1:]:
                covered = covered.union(box)
            whole = whole.intersection(covered)
        if all(box.intersection(whole).empty for box in self.boxes):
            raise InputError("No image of the table overlaps the template")
        cards = self.template.cards(whole)
        with ExitStack() as stack:
            image, area = (stack.enter_context(writing_image64(name, whole.shape, cards)) for name in (output, area_name(output)))
            row = whole.ymin
            while row < whole.ymax:
                band = PixelBox(row, min(whole.ymax, row + self._rows(row, whole, method)), whole.xmin, whole.xmax)
                adder = BandAdder(band, method, self.nominal, self._workspace)
                for k, box in enumerate(self.boxes):
                    part = box.intersection(band)
                    if not part.empty:
                        self._add(adder, k, part)
                values, areas = adder.finish()
                image.write(values)
                area.write(areas)
                row = band.ymax
                for k in [k for k in self._open if self.boxes[k].ymax <= row]:
                    del self._open[k]

    def _rows(self, row: int, whole: PixelBox, method: str) -> int:
        """Height of the next band."""
        width = whole.shape[1]
        if method != "median":
            return max(1, _BAND // width)
        n = sum(box.ymin < row + 32 and box.ymax > row for box in self.boxes)
        return max(1, min(32, _STACK // (width * max(n, 1))))

    def _add(self, adder: Any, k: int, part: PixelBox) -> None:
        one = self._image(k)
        where = part.slices(self.boxes[k])
        values = one.image.window(where, self._workspace.array("values", (part.size,), "f8"))
        area = None if one.area is None else one.area.window(where, self._workspace.array("areas", (part.size,), "f8"))
        adder.add(part, values, area)


def _check_header(cards: CardList, reference: dict[str, Any], name: str) -> None:
    """Compare an image's header with the template's."""
    for key in ("CTYPE1", "CTYPE2"):
        if cards.text(key).strip().upper() != str(reference[key]):
            raise InputError(f"Image {name} header {key} does not match template ({cards.text(key)} and {reference[key]})")
    for key in ("CRVAL1", "CRVAL2", "CDELT1", "CDELT2"):
        if key in cards and abs(cards.number(key, math.nan) - reference[key]) > 1e-8:
            raise InputError(f"Image {name} header {key} does not match template ({cards.get(key)} and {reference[key]})")
