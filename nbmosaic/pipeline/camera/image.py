"""One exposure to one image file and one mask file, in bands of rows: what a face of `mscimage` needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.errors import ConfigError, EmptyMosaicError
from nbmosaic.pipeline.camera.canvas import can_merge
from nbmosaic.pipeline.camera.combining import CombineOptions, combine_pieces
from nbmosaic.pipeline.camera.pieces import PieceBuffers, PieceOptions, PlacedPiece, resample_one
from nbmosaic.pipeline.camera.run import KEPT_FRACTION, exposure_cards, outline_limits, place_exposure, resample_pieces
from nbmosaic.pipeline.camera.store import PieceStore
from nbmosaic.pipeline.execution import Execution
from nbmosaic.types import MosaicGrid, PixelBox, ProjectedInfo

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.io.exposure import Exposure
    from nbmosaic.io.fits_write import MosaicWriter
    from nbmosaic.io.headers import Card

__all__ = ["ImageOptions", "write_exposure"]

_FORMATS = ("image", "mef")
_REPLACED = (
    *("DETSEC", "CCDSUM", "CCDSEC", "AMPSEC"),
    *(f"{letter}TM{i}_{j}" for letter in "AD" for i in (1, 2) for j in (1, 2)),
    *(f"{letter}TV{i}" for letter in "AD" for i in (1, 2)),
)
"""Keywords of a piece that say where it lay on the detector."""


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How an exposure becomes files.

    Attributes
    ----------
    pieces : PieceOptions
        How pieces are resampled.
    combine : CombineOptions
        How they are put together.
    layout : str
        ``image``: one image; ``mef``: one extension a piece.
    masks : bool
        Whether mask files are written.
    mask_name : str
        Value of the keyword BPM, with ``{}`` for the name of the piece.
    plain_mask : bool
        Whether the mask is written as 0 and 1, and not as it is.
    corners : bool
        Size the output by the corners of the untrimmed pieces.
    one_header : bool
        Take the header over from the piece nearest to its tangent point, as it is, and not from the first, with means over all pieces.
    """

    pieces: PieceOptions
    combine: CombineOptions
    layout: str = "image"
    masks: bool = True
    mask_name: str = "{}"
    plain_mask: bool = True
    corners: bool = False
    one_header: bool = False

    def __post_init__(self) -> None:
        if self.layout not in _FORMATS:
            raise ConfigError(f"format cannot be {self.layout!r}", hint="use image or mef")


class _ImageSink:
    """Rows of the image file."""

    def __init__(self, writer: MosaicWriter) -> None:
        self._writer = writer

    def write(self, row: int, mask: AnyArray, **planes: Float32Array) -> None:  # noqa: ARG002 - the mask has a file of its own
        """Write rows."""
        self._writer.write_rows(row, planes["data"])


class _MaskSink:
    """Rows of the mask file."""

    def __init__(self, writer: MosaicWriter, *, plain: bool) -> None:
        self._writer, self._plain = writer, plain

    def write(self, row: int, mask: AnyArray, **planes: Float32Array) -> None:  # noqa: ARG002 - the image has a file of its own
        """Write rows."""
        self._writer.write_rows(row, (mask != 0).astype(np.uint8) if self._plain else mask)


def write_exposure(
    exposure: Exposure,
    plane: WCS,
    image: str,
    mask: str,
    *,
    options: ImageOptions,
    execution: Execution,
    within: PixelBox | None = None,
    tell: Callable[[PlacedPiece], None] | None = None,
    created: Callable[[], None] | None = None,
    overwrite: bool = False,
) -> list[PlacedPiece]:
    """Resample an exposure into files.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    plane : astropy.wcs.WCS
        Coordinates of the output, up to whole pixels.
    image, mask : str
        Files to write; `mask` holds ``{}`` for the name of a piece (``mef``) and is not used without masks.
    options : ImageOptions
        How.
    execution : Execution
        Memory and scratch folder.
    within : PixelBox, optional
        Pixels of `plane` that the output has; default: those that the pieces cover.
    tell, created : callable, optional
        Told of every piece before it is resampled, and before the image is put together.
    overwrite : bool
        Replace existing files.

    Returns
    -------
    list of PlacedPiece
        The pieces with their maps.

    Raises
    ------
    EmptyMosaicError
        No piece falls on `within`.
    """
    if within is None and options.corners:
        from nbmosaic.core.geometry.exposure_grid import corner_limits

        within = corner_limits([(piece.info.wcs, piece.info.shape) for piece in exposure.pieces], plane)
    placed, _ = place_exposure(exposure, plane, options.pieces, within=within)
    placed = [one for one in placed if within is None or _touches(one, within)]
    if not placed:
        raise EmptyMosaicError(f"{exposure.name}: no piece falls on the reference", hint="choose a reference that overlaps the exposure")
    box = within if within is not None else _union(placed)
    if options.layout == "image" and _apart(placed):
        _stream_image(exposure, placed, plane, box, (image, mask.format("")), options, tell=tell, overwrite=overwrite)
        if created is not None and exposure.mosaic:
            created()
        return placed
    budget = int(KEPT_FRACTION * execution.max_memory)
    store = PieceStore(execution.scratch_folder(), budget=budget)
    try:
        if options.layout == "image" and options.combine.rule == "mean" and can_merge([one.box for one in placed]):
            _merge_image(
                exposure, placed, store, plane, box, (image, mask.format("")), options, tell=tell, created=created, overwrite=overwrite
            )
            return placed
        infos = resample_pieces(placed, options.pieces, store, PieceBuffers(), tell=tell)
        if created is not None and exposure.mosaic:
            created()
        if options.layout == "mef":
            _write_mef(exposure, placed, infos, store, plane, image, mask, options, overwrite=overwrite)
        else:
            _write_image(exposure, placed, infos, store, plane, box, (image, mask.format("")), options, overwrite=overwrite)
    finally:
        store.discard()
    return placed


def _touches(placed: PlacedPiece, within: PixelBox) -> bool:
    """Whether the outline of a piece has anything in a box."""
    x, y = placed.outline
    return bool(np.nanmax(x) > within.xmin and np.nanmin(x) < within.xmax and np.nanmax(y) > within.ymin and np.nanmin(y) < within.ymax)


def _union(placed: Sequence[PlacedPiece]) -> PixelBox:
    box = placed[0].box
    for one in placed[1:]:
        box = box.union(one.box)
    return box


def _apart(placed: Sequence[PlacedPiece]) -> bool:
    """Whether the rectangles of all pieces are disjoint."""
    return all(one.box.intersection(two.box).empty for one, two in combinations(placed, 2))


def _header(exposure: Exposure, n_pieces: int, options: ImageOptions) -> tuple[list[Card], list[str]]:
    """Keywords made from the pieces, and cards taken over from one of them."""
    from nbmosaic.core.geometry.exposure_grid import reference_piece
    from nbmosaic.io.exposure_write import copied_lines

    if options.one_header or not exposure.mosaic:
        number = reference_piece([(piece.info.wcs, piece.info.shape) for piece in exposure.pieces])
        return [], copied_lines([exposure.pieces[number].cards, exposure.primary], mosaic=False)
    cards = exposure_cards(exposure, n_pieces)
    lines = copied_lines([exposure.pieces[0].cards, exposure.primary], mosaic=True, drop=[card[0] for card in cards])
    return cards, lines


def _image_cards(exposure: Exposure, n_pieces: int, options: ImageOptions) -> tuple[list[Card], list[str]]:
    """Keywords of the image, and cards taken over from the pieces."""
    made, lines = _header(exposure, n_pieces, options)
    cards: list[Card] = [*made, ("LTM1_1", 1.0), ("LTM2_2", 1.0)]
    if options.masks:
        cards.append(("BPM", options.mask_name.format("")))
    return cards, lines


def _mask_kind(options: ImageOptions) -> np.dtype[Any]:
    return np.dtype(np.uint8 if options.plain_mask or options.combine.rule != "last" else np.int16)


def _stream_image(
    exposure: Exposure,
    placed: Sequence[PlacedPiece],
    plane: WCS,
    box: PixelBox,
    paths: tuple[str, str],
    options: ImageOptions,
    *,
    tell: Callable[[PlacedPiece], None] | None,
    overwrite: bool,
) -> None:
    """Write pieces whose rectangles are disjoint straight to where they belong: nothing has to be put together, and only one is held at a time."""
    from nbmosaic.core.geometry.grid import crop_grid
    from nbmosaic.io.exposure_write import BoxWriter

    grid = crop_grid(MosaicGrid(plane, box.shape), box)
    cards, lines = _image_cards(exposure, len(placed), options)
    blank = options.combine.blank
    with ExitStack() as stack:
        image = stack.enter_context(BoxWriter(paths[0], grid, cards=cards, lines=lines, overwrite=overwrite, spare_cards=0))
        if blank != 0.0:
            image.fill(blank)
        mask = None
        if options.masks:
            mask = stack.enter_context(BoxWriter(paths[1], grid, dtypes={"data": _mask_kind(options)}, overwrite=overwrite, spare_cards=0))
            mask.fill(1 if options.plain_mask else 10000)
        buffers = PieceBuffers()
        for one in placed:
            if tell is not None:
                tell(one)
            done = resample_one(one, options.pieces, buffers, measure=False, blank=blank)
            data = done.frame.data
            row, column = one.box.ymin - box.ymin, one.box.xmin - box.xmin
            image.write_box(row, column, data)
            if mask is not None:
                mask.write_box(row, column, done.mask != 0 if options.plain_mask else done.mask)


def _merge_image(
    exposure: Exposure,
    placed: Sequence[PlacedPiece],
    store: PieceStore,
    plane: WCS,
    box: PixelBox,
    paths: tuple[str, str],
    options: ImageOptions,
    *,
    tell: Callable[[PlacedPiece], None] | None,
    created: Callable[[], None] | None,
    overwrite: bool,
) -> None:
    """Merge pieces whose rectangles overlap one by one, then write."""
    canvas = store.canvas(0, box, prefer_clean=False)
    try:
        resample_pieces(placed, options.pieces, canvas, PieceBuffers(), tell=tell)
        if created is not None and exposure.mosaic:
            created()
        with _sinks(exposure, len(placed), plane, box, paths, options, overwrite=overwrite) as sinks:
            for row, rows, *_ in canvas.finish(outline_limits(placed, box), blank=options.combine.blank):
                for sink in sinks:
                    sink.write(row, rows.state, data=rows.data)
    finally:
        canvas.close()


def _write_image(
    exposure: Exposure,
    placed: Sequence[PlacedPiece],
    infos: Sequence[ProjectedInfo],
    store: PieceStore,
    plane: WCS,
    box: PixelBox,
    paths: tuple[str, str],
    options: ImageOptions,
    *,
    overwrite: bool,
) -> None:
    with _sinks(exposure, len(placed), plane, box, paths, options, overwrite=overwrite) as sinks:
        combine_pieces(infos, store, box, outline_limits(placed, box), sinks, options=options.combine)


@contextmanager
def _sinks(
    exposure: Exposure, n_pieces: int, plane: WCS, box: PixelBox, paths: tuple[str, str], options: ImageOptions, *, overwrite: bool
) -> Iterator[list[_ImageSink | _MaskSink]]:
    """The files of an image and its mask, open for rows."""
    from nbmosaic.core.geometry.grid import crop_grid
    from nbmosaic.io.fits_write import MosaicWriter

    grid = crop_grid(MosaicGrid(plane, box.shape), box)
    cards, lines = _image_cards(exposure, n_pieces, options)
    with ExitStack() as stack:
        writer = stack.enter_context(MosaicWriter(paths[0], grid, cards=cards, lines=lines, overwrite=overwrite, spare_cards=0))
        sinks: list[_ImageSink | _MaskSink] = [_ImageSink(writer)]
        if options.masks:
            masks = MosaicWriter(paths[1], grid, dtypes={"data": _mask_kind(options)}, overwrite=overwrite, spare_cards=0)
            sinks.append(_MaskSink(stack.enter_context(masks), plain=options.plain_mask))
        yield sinks


def _write_mef(
    exposure: Exposure,
    placed: Sequence[PlacedPiece],
    infos: Sequence[ProjectedInfo],
    store: PieceStore,
    plane: WCS,
    image: str,
    mask: str,
    options: ImageOptions,
    *,
    overwrite: bool,
) -> None:
    from nbmosaic.core.geometry.grid import crop_grid
    from nbmosaic.io.exposure_write import MefWriter, copied_lines
    from nbmosaic.io.fits_write import write_image

    x0, y0 = min(info.box.xmin for info in infos), min(info.box.ymin for info in infos)
    with MefWriter(image, copied_lines([exposure.primary], mosaic=True), overwrite=overwrite) as writer:
        for one, info in zip(placed, infos, strict=True):
            grid = crop_grid(MosaicGrid(plane, info.box.shape), info.box)
            name = one.piece.extname
            left, low = info.box.xmin - x0 + 1, info.box.ymin - y0 + 1
            ny, nx = info.box.shape
            cards: list[Card] = [
                ("DETSEC", f"[{left}:{left + nx - 1},{low}:{low + ny - 1}]"),
                ("DTM1_1", 1.0),
                ("DTM2_2", 1.0),
                ("DTV1", float(left - 1)),
                ("DTV2", float(low - 1)),
            ]
            if options.masks:
                cards.append(("BPM", options.mask_name.format(name.upper())))
                target = mask.format(name.upper())
                write_image(Path(target), store.read_mask(info.index, info.box), grid.wcs, overwrite=overwrite)
            data = store.read_all(info.index, "data", info.box)
            assert data is not None
            writer.add(name, data, grid, cards=cards, lines=copied_lines([one.piece.cards], mosaic=False, drop=_REPLACED))
