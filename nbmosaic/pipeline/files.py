"""The read and save stages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbmosaic.errors import InputError
from nbmosaic.pipeline.camera.files import save_exposures
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.photometry.regridding import ReducedImage
from nbmosaic.pipeline.products import Frames, Grid, Mosaic, Product, Table
from nbmosaic.pipeline.quicklook import Picture

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_file", "save_product"]

TABLE_SUFFIXES = (".tbl", ".csv", ".ecsv")
TEMPLATE_SUFFIXES = (".hdr", ".txt", ".head")
IMAGE_SUFFIXES = (".fits", ".fit", ".fts")


def read_file(path: str) -> Frames | Grid | Table:
    """A table, a header template or FITS frames.

    Raises
    ------
    FormatError
        The file is missing or not what its name says.
    """
    name = str(path).lower()
    if name.endswith(TABLE_SUFFIXES):
        from nbmosaic.io.tables import read_table

        return Table(read_table(Path(path)), str(path))
    if name.endswith(TEMPLATE_SUFFIXES):
        from nbmosaic.io.templates import read_template

        return Grid(read_template(Path(path)))
    from nbmosaic.pipeline.stages import images

    return images(path)


def save_product(product: Product, path: str, *, overwrite: bool) -> Product:
    """Write a product to a file, under a temporary name first.

    Raises
    ------
    InputError
        The product has no such form.
    FormatError
        The file exists (without `overwrite`) or cannot be written.
    """
    from nbmosaic.io.output import check_output

    target = check_output(path, overwrite=overwrite)
    name = target.name.lower()
    if isinstance(product, MosaicExposure) and name.endswith(IMAGE_SUFFIXES):
        save_exposures(product, str(path), overwrite=overwrite)
    elif isinstance(product, ReducedImage) and name.endswith((*IMAGE_SUFFIXES, ".fits.gz")):
        product.save(target, overwrite=overwrite)
    elif name.endswith(IMAGE_SUFFIXES):
        _save_mosaic(_as_mosaic(product, path), target, overwrite=overwrite)
    elif name.endswith(TABLE_SUFFIXES):
        _save_table(product, target, overwrite=overwrite)
    elif name.endswith(TEMPLATE_SUFFIXES):
        if not isinstance(product, Grid):
            raise InputError(f"{type(product).__name__} is not a grid: it cannot be saved as {path}", hint="save it as .tbl or .csv")
        _replace(target, product.text.encode("ascii"), overwrite=overwrite)
    elif name.endswith(".png"):
        from nbmosaic.pipeline.quicklook import picture

        drawn = product if isinstance(product, Picture) else picture(product, kind=None, width=8)
        _replace(target, drawn.png, overwrite=overwrite)
    else:
        raise InputError(f"{path} has no known ending", hint="use .fits, .png, .hdr, .tbl, .csv or .ecsv")
    return product


def _as_mosaic(product: Product, path: str) -> Mosaic:
    if not isinstance(product, Mosaic):
        raise InputError(
            f"{type(product).__name__} is not a mosaic: it cannot be saved as {path}", hint="save it as .tbl or .csv, or coadd first"
        )
    return product


def _save_mosaic(mosaic: Mosaic, target: Path, *, overwrite: bool) -> None:
    from nbmosaic.io.fits_write import MosaicWriter
    from nbmosaic.pipeline.assembly import provenance_cards, provenance_lines
    from nbmosaic.types import MosaicGrid

    apart = mosaic.count is not mosaic.area
    planes = ["area", *(["nframes"] if apart else []), *([] if mosaic.variance_plane is None else ["variance"])]
    with MosaicWriter(
        target,
        MosaicGrid(mosaic.wcs, mosaic.shape),
        planes=planes,
        dtypes={"area": mosaic.area.dtype, "nframes": mosaic.count.dtype},
        unit=mosaic.unit,
        cards=provenance_cards(mosaic.provenance),
        history=provenance_lines(mosaic.provenance),
        overwrite=overwrite,
        spare_cards=0,
    ) as writer:
        for y in range(0, mosaic.shape[0], 128):
            rows = slice(y, y + 128)
            writer.write_rows(
                y,
                mosaic.data[rows],
                area=mosaic.area[rows],
                nframes=mosaic.count[rows] if apart else None,
                variance=None if mosaic.variance_plane is None else mosaic.variance_plane[rows],
            )


def _save_table(product: Product, target: Path, *, overwrite: bool) -> None:
    from nbmosaic.io.tables import write_table

    table: pd.DataFrame = product.table
    if not len(table.columns):
        raise InputError(f"{type(product).__name__} has no table to save", hint="save a product of images, overlaps or background")
    write_table(target, table, overwrite=overwrite)


def _replace(target: Path, content: bytes, *, overwrite: bool) -> None:
    from nbmosaic.io.output import replacing

    with replacing(target, overwrite=overwrite, needed=len(content)) as part:
        part.write_bytes(content)
