"""Exposures written to FITS files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nbmosaic.errors import InputError
from nbmosaic.types import MosaicGrid, PixelBox

if TYPE_CHECKING:
    from nbmosaic.io.headers import Card
    from nbmosaic.pipeline.camera.product import MosaicExposure

__all__ = ["exposure_targets", "save_exposures"]

_ROWS = 128


def exposure_targets(names: tuple[str, ...], path: str) -> list[Path]:
    """Files that exposures are written to.

    Raises
    ------
    InputError
        Several exposures and one name.
    """
    from nbmosaic.io.paths import file_stem, split_hdu

    stems = [file_stem(split_hdu(name)[0]) for name in names]
    if "{stem}" in path:
        found = [Path(path.replace("{stem}", stem)).expanduser() for stem in stems]
    elif Path(path).expanduser().is_dir():
        found = [Path(path).expanduser() / f"{stem}.fits" for stem in stems]
    else:
        found = [Path(path).expanduser()] * len(stems)
    if len(set(found)) != len(found):
        raise InputError(f"{len(found)} exposures cannot be saved as {path}", hint="put {stem} into the name, or name a folder")
    return found


def save_exposures(product: MosaicExposure, path: str, *, overwrite: bool) -> None:
    """Write every exposure to a file of its own: the image, then MASK, VARIANCE and WEIGHT.

    Raises
    ------
    InputError
        Several exposures and one name.
    FormatError
        A file exists or cannot be written; none is written then if it is known before.
    """
    from nbmosaic.io.output import check_output

    names = tuple(product.records[info.index].name for info in product.infos)
    targets = exposure_targets(names, str(path))
    for target in targets:
        check_output(target, overwrite=overwrite)
    for info, target in zip(product.infos, targets, strict=True):
        _save_one(product.exposure(info.index), target, overwrite=overwrite)


def _save_one(product: MosaicExposure, target: Path, *, overwrite: bool) -> None:
    from nbmosaic.io.fits_write import MosaicWriter

    info = product.infos[0]
    record = product.records[info.index]
    optional = tuple(name for name in ("variance", "weight") if name in info.planes)
    cards: list[Card] = [*record.cards, ("INTERPOL", product.method, "interpolant of the image")]
    history = ["MASK: 1 bad, 2 edge, 4 gap, 8 outside, and sums of these"]
    with MosaicWriter(
        target,
        MosaicGrid(product.wcs, product.shape),
        planes=("mask", *optional),
        unit=product.unit,
        cards=cards,
        lines=[line for line in record.lines if line[:8].rstrip() != "BUNIT"],
        history=history,
        overwrite=overwrite,
        spare_cards=0,
    ) as writer:
        for row in range(0, product.shape[0], _ROWS):
            band = PixelBox(info.box.ymin + row, min(info.box.ymin + row + _ROWS, info.box.ymax), info.box.xmin, info.box.xmax)
            data = product.store.read_all(info.index, "data", band)
            assert data is not None
            writer.write_rows(
                row,
                data,
                mask=product.store.read_mask(info.index, band),
                **{name: product.store.read_all(info.index, name, band) for name in optional},
            )
