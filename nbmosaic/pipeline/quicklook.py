"""How products and runs draw themselves: which numbers and pictures the views get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import AnyArray, BoolArray, FloatArray, IntArray
from nbmosaic.errors import ConfigError, FormatError, InputError
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.drawn import drawn_once
from nbmosaic.pipeline.products import Background, Frames, Mosaic, Overlaps, Product, Projected
from nbmosaic.pipeline.recipe import choose
from nbmosaic.types import PixelBox

if TYPE_CHECKING:
    import pandas as pd
    from astropy.wcs import WCS

    from nbmosaic.pipeline.run import Run, StepRecord
    from nbmosaic.views.rows import StageRow

__all__ = [
    "Picture",
    "before_after",
    "draw_overlap",
    "mosaic_html",
    "overlap_picture",
    "picture",
    "pictured",
    "product_html",
    "product_text",
    "run_html",
    "run_text",
]

PICTURE_WIDTH = 640
MAX_PLANES_IN_SPACE = 12
NAME_COLUMNS = ("name", "plus_name", "minus_name")


def shown_table(product: Product, limit: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """First rows of the table of a product: the columns that are shown, and all others.

    The useful columns come first, empty ones are dropped, whole numbers look whole, and folders that all names share are left out.
    """
    head = product.table.head(limit)
    if product.row_column in head.columns:
        head = head.set_index(product.row_column)
    names = [name for name in product.shown_columns if name in head.columns] or list(head.columns)
    filled = [name for name in names if not len(head) or (head[name].notna() & (head[name] != "")).any()]
    columns: dict[str, Any] = {name: _whole_numbers(head[name]) for name in filled}
    texts = [name for name in NAME_COLUMNS if name in columns]
    folder = _common_folder([str(name) for text in texts for name in columns[text]])
    for text in texts:
        columns[text] = columns[text].map(lambda name: str(name)[len(folder) :])
    return head[filled].assign(**columns), head[[name for name in head.columns if name not in filled]]


def _whole_numbers(column: pd.Series[Any]) -> pd.Series[Any]:
    """Counts that a table holds as floating-point numbers, as integers."""
    if column.dtype.kind != "f" or not (column.notna() & (column % 1 == 0)).all() or (column == 0).all():
        return column
    return column.astype("int64") if column.abs().max() < 2**53 else column


def _common_folder(names: list[str]) -> str:
    """Folders with which all names begin, with the separator."""
    if not names:
        return ""
    first = names[0][: names[0].replace("\\", "/").rfind("/") + 1]
    while first and not all(name.startswith(first) for name in names):
        first = first[: first[:-1].replace("\\", "/").rfind("/") + 1]
    return first


def product_text(product: Product, *, limit: int = 8) -> str:
    """Title and the first rows of the table."""
    from nbmosaic.views.text import table_text

    shown, others = shown_table(product, limit)
    if not len(shown.columns):
        return product.title
    heading, rows = _rows_of(shown.join(others))
    return table_text(rows, heading, title=product.title, limit=None, total=len(product.table))


def product_html(product: Product, *parts: Any, limit: int = 10) -> str:
    """Title, the first rows of the table, and further parts."""
    from nbmosaic.views.html import fragment, note_html, table_html, title_html

    shown, others = shown_table(product, limit)
    body, note = None, None
    if len(shown.columns):
        heading, rows = _rows_of(shown)
        body = table_html(rows, heading, units=product.column_units, limit=None, total=len(product.table))
    if n := len(others.columns):
        note = note_html(f"{n} more column{'s' * (n != 1)} in .table")
    return str(fragment(title_html(product.title), body, note, *parts, fallback=product_text(product), label=product.title))


def _rows_of(frame: pd.DataFrame) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Headings and rows, with the index as the first column."""
    heading = [str(frame.index.name or "row"), *map(str, frame.columns)]
    return heading, list(frame.itertuples(index=True, name=None))


def preformatted(text: str) -> str:
    """Text as it is, for when nothing better can be drawn."""
    from nbmosaic.views.markup import escape

    return f"<pre>{escape(text)}</pre>"


def mosaic_alt(mosaic: Mosaic | MosaicExposure) -> str:
    """The mosaic in words."""
    from nbmosaic.core.geometry.sky import centre_and_corners
    from nbmosaic.views.alt_text import alt_text_mosaic

    step = max(1, int(np.sqrt(mosaic.data.size / 1e6)))
    thin = np.asarray(mosaic.data[::step, ::step])
    blank = float(np.mean(~np.isfinite(thin))) if thin.size else 1.0
    ra, dec = (float(value) for value in centre_and_corners(mosaic.wcs, mosaic.shape)[0])
    centre = (ra, dec) if np.isfinite([ra, dec]).all() else None
    return str(alt_text_mosaic(mosaic.shape, mosaic.n_frames, blank, centre=centre))


def mosaic_png(mosaic: Mosaic) -> bytes:
    """Quicklook of a mosaic."""
    from nbmosaic.views.mosaic_figures import image_png

    return image_png(mosaic.data, mosaic.wcs, width=PICTURE_WIDTH, unit=mosaic.unit)


def _drawn(mosaic: Mosaic) -> tuple[bytes, str]:
    return mosaic_png(mosaic), mosaic_alt(mosaic)


def mosaic_html(mosaic: Mosaic) -> str:
    """Numbers and quicklook of a mosaic."""
    from nbmosaic.views.html import image_tag

    try:
        return product_html(mosaic, image_tag(*drawn_once(mosaic, _drawn)))
    except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
        return preformatted(repr(mosaic))


def _rows(run: Run) -> list[StageRow]:
    from nbmosaic.views.rows import StageRow

    return [
        StageRow(
            stage=record.step.stage,
            state=record.state,  # type: ignore[arg-type]
            inputs="" if record.n_in is None else str(record.n_in),
            outputs="" if record.n_out is None else str(record.n_out),
            key=record.key,
            seconds=record.seconds if record.state != "not run" else None,
            detail=record.error,
        )
        for record in run.log
    ]


def run_text(run: Run) -> str:
    """A line a stage, and the warnings."""
    from nbmosaic.views.text import run_text as text

    return text(run.recipe.name or "", _rows(run), warnings=run.warnings)


def run_html(run: Run) -> str:
    """A row a stage, the warnings, and the quicklook."""
    from nbmosaic.views.html import run_html as html

    found = run.latest((Mosaic,))
    png, alt = drawn_once(found, _drawn) if isinstance(found, Mosaic) else (None, "")
    return str(html(run.recipe.name or "", _rows(run), picture_png=png, alt=alt, warnings=run.warnings, fallback=run_text(run)))


def log_rows(records: tuple[StepRecord, ...]) -> list[Mapping[str, Any]]:
    """The log of a run as plain rows (for provenance)."""
    return [{"stage": r.step.stage, "state": r.state, "seconds": round(r.seconds, 3), "key": r.key} for r in records]


@dataclass(frozen=True, eq=False, repr=False)
class Picture(Product):
    """A picture of a product.

    Attributes
    ----------
    png : bytes
        The picture.
    alt : str
        What it shows, in words.
    """

    png: bytes
    alt: str

    @property
    def title(self) -> str:
        """What the picture shows."""
        return self.alt

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"

    def _repr_html_(self) -> str:
        from nbmosaic.views.html import fragment, image_tag

        return str(fragment(image_tag(self.png, self.alt), fallback=self.alt, label="picture"))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        """Text, HTML with the words beside the picture, and the picture: a front end shows the richest of them, once."""
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_(), "image/png": self.png}
        wanted = [name for name in bundle if (not include or name in include) and name not in (exclude or ())]
        words = {"image/png": {"alt": self.alt}} if "image/png" in wanted else {}
        return {name: bundle[name] for name in wanted}, words

    def save(self, path: str) -> None:
        """Write the PNG."""
        try:
            Path(path).write_bytes(self.png)
        except OSError as error:
            raise FormatError(f"cannot write {path}: {error.strerror}", hint="choose another file", path=str(path)) from error


Drawing = tuple[Any, str]
"""Axes, and what they show in words."""


def picture(product: Product, *, kind: str | None, width: int) -> Picture:
    """The picture of a product of one kind.

    Raises
    ------
    ConfigError
        There is no picture of this kind.
    """
    if isinstance(product, Picture):
        return product
    kinds = _kinds(product)
    if not kinds:
        raise ConfigError(f"there is no picture of {type(product).__name__}", hint="its table says it all")
    name = next(iter(kinds)) if kind is None else choose(kind, kinds, option="kind")
    return pictured(kinds[name](), width)


def pictured(drawing: Drawing, width: int) -> Picture:
    """Render what was drawn, `width` inches wide."""
    from nbmosaic.views.figures import figure_png

    axes, words = drawing
    return Picture(figure_png(axes, width * 100), words)


def before_after(
    before: Mosaic, after: Mosaic, *, titles: tuple[str, str] = ("before", "after background matching"), width: int = 8
) -> Picture:
    """Picture of two mosaics of the same grid side by side, with the same colours."""
    from nbmosaic.views.mosaic_figures import plot_before_after

    axes = plot_before_after(before.data, after.data, after.wcs, unit=after.unit, titles=titles)
    return pictured(
        (axes, f"two mosaics with the same colours; {titles[0]}: {mosaic_alt(before)}; {titles[1]}: {mosaic_alt(after)}"), width
    )


def overlap_picture(projected: Projected, overlaps: Overlaps, row: int, *, width: int = 8) -> Picture:
    """The picture of one overlap: difference, fitted plane, what is left, histogram.

    Raises
    ------
    InputError
        There is no such row, or it was not fitted.
    """
    return pictured(draw_overlap(projected, overlaps, row), width)


def draw_overlap(projected: Projected, overlaps: Overlaps, row: int, *, figure: Any = None) -> tuple[tuple[Any, ...], str]:
    """Draw one overlap; returns the four axes and what they show in words.

    Raises
    ------
    InputError
        There is no such row, it was not fitted, or its frames are not among those projected.
    """
    from nbmosaic.core.matching.apply import overlap_images
    from nbmosaic.views.alt_text import alt_text_overlap
    from nbmosaic.views.overlap_figures import plot_overlap

    planes = overlaps.planes
    if not 0 <= row < len(planes):
        raise InputError(f"there is no overlap {row}", hint=f"overlaps are numbered 0 to {len(planes) - 1}")
    ends = int(planes.plus[row]), int(planes.minus[row])
    if not planes.n_pixels[row] > 0:
        raise InputError(f"overlap {row}, of frames {ends[0]} and {ends[1]}, has too few pixels: it was not fitted", hint="choose another")
    missing = [end for end in ends if end not in {info.index for info in projected.infos}]
    if missing:
        raise InputError(f"frame {missing[0]} is not among those projected", hint="give the frames that the overlaps were made of")
    infos = [projected.info(end) for end in ends]
    box = infos[0].box.intersection(infos[1].box)
    (plus, minus), areas = ([projected.store.read(end, plane, box) for end in ends] for plane in ("data", "area"))
    assert plus is not None
    assert minus is not None
    shown = overlap_images(plus, minus, box, planes, row, plus_area=areas[0], minus_area=areas[1])
    names = (_frame_label(overlaps, ends[0]), _frame_label(overlaps, ends[1]))
    level, rms = float(planes.level[row]), float(planes.rms[row])
    axes = plot_overlap(
        shown.difference, shown.plane, shown.kept, box=box, names=names, unit=overlaps.unit, rms=rms if rms > 0 else None, figure=figure
    )
    n_kept, n_valid = int(planes.n_pixels[row]), int(planes.n_valid[row])
    return axes, str(alt_text_overlap(names, n_kept, n_valid - n_kept, level=level, rms=rms, unit=overlaps.unit))


def _frame_label(overlaps: Overlaps, index: int) -> str:
    """Number of a frame (what `exclude` takes) and its name without folders."""
    name = overlaps.names[index]
    return f"{index}: {name[len(_common_folder([name])) :]}"


def _kinds(product: Product) -> dict[str, Callable[[], Drawing]]:
    """Pictures that there are of a product, the one that suits it best first."""
    if isinstance(product, Mosaic):
        from nbmosaic.pipeline.picture import equalised

        image = {"image": lambda: (product.plot(), mosaic_alt(product)), "equalised": lambda: equalised(product)}
        return image | {"coverage": lambda: _coverage(product.area, product.wcs)}
    if isinstance(product, Background):
        return _background_kinds(product)
    if isinstance(product, Frames):
        return {"footprints": lambda: _footprints(product)}
    if isinstance(product, MosaicExposure) and len(product) == 1:
        return dict(product.pictures())
    if isinstance(product, Projected):
        return {"footprints": lambda: _footprints(product.frames), "coverage": lambda: _depth(product)}
    if isinstance(product, Overlaps):
        return {"network": lambda: _differences(product)}
    return dict(product.pictures())


def _background_kinds(background: Background) -> dict[str, Callable[[], Drawing]]:
    from nbmosaic.views.alt_text import alt_text_background

    kinds: dict[str, Callable[[], Drawing]] = {
        "planes": lambda: (background.plot(), alt_text_background(background.model, unit=background.unit)),
        "network": lambda: _left_over(background),
        "errors": lambda: _errors(background),
        "residuals": lambda: _residuals(background),
    }
    if len(background) <= MAX_PLANES_IN_SPACE:
        kinds["planes3d"] = lambda: _planes_in_space(background)
    return kinds


def _footprints(frames: Frames) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_footprints

    return frames.plot(), alt_text_footprints(len(frames))


def _coverage(area: AnyArray, wcs: WCS) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_coverage
    from nbmosaic.views.mosaic_figures import plot_coverage

    return plot_coverage(area, wcs), alt_text_coverage(area)


def _depth(projected: Projected) -> Drawing:
    """Number of frames on the grid, from the samples that are kept of each frame: no pixel is read."""
    from nbmosaic.core.matching.apply import frame_depth

    step = projected.coarse_step
    wcs = projected.grid.wcs[::step, ::step]
    box = PixelBox.of_shape(tuple(-(-n // step) for n in projected.grid.shape))  # type: ignore[arg-type]
    depth = frame_depth([info.coarse for info in projected.infos], [info.coarse_box for info in projected.infos], box)
    return _coverage(depth, wcs)


def frame_boxes(overlaps: Overlaps) -> tuple[IntArray, list[int]]:
    """Boxes of the frames as rows ``ymin, ymax, xmin, xmax``, and the indices of the frames."""
    indices = sorted(overlaps.boxes)
    boxes = [overlaps.boxes[index] for index in indices]
    return np.array([[b.ymin, b.ymax, b.xmin, b.xmax] for b in boxes], dtype=np.int64).reshape(-1, 4), indices


def frame_numbers(overlaps: Overlaps) -> list[str]:
    """Indices of the frames as labels: what `reference` and `exclude` take, and what the tables show."""
    return [str(index) for index in sorted(overlaps.boxes)]


def _network(overlaps: Overlaps, differences: FloatArray, excluded: BoolArray, label: str) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_network
    from nbmosaic.views.background_figures import plot_overlap_network

    boxes, indices = frame_boxes(overlaps)
    pairs = np.searchsorted(indices, np.stack([overlaps.planes.plus, overlaps.planes.minus], axis=1))
    axes = plot_overlap_network(
        boxes, pairs, differences, excluded=excluded, names=frame_numbers(overlaps), unit=overlaps.unit, label=f"|{label}|"
    )
    words = alt_text_network(len(boxes), differences[~excluded], n_excluded=int(excluded.sum()), unit=overlaps.unit, what=f"{label}s")
    return axes, words


def _differences(overlaps: Overlaps) -> Drawing:
    return _network(overlaps, overlaps.planes.level, ~overlaps.used, "difference")


def _left_over(background: Background) -> Drawing:
    return _network(background.overlaps, background.model.residual_level, background.model.weight == 0, "remaining difference")


def _errors(background: Background) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_levels
    from nbmosaic.views.background_figures import plot_plane_errors

    model = background.model
    names = [background.overlaps.names[int(index)] for index in model.frames]
    axes = plot_plane_errors(model.level, model.level_stderr, names=names, component=model.component, unit=background.unit)
    return axes, alt_text_levels(model.level, model.level_stderr, unit=background.unit)


def _residuals(background: Background) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_residuals
    from nbmosaic.views.background_figures import plot_residuals

    model, planes = background.model, background.overlaps.planes
    used = model.weight > 0
    names = [f"{i}-{j}" for i, j in zip(planes.plus, planes.minus, strict=True)]
    axes = plot_residuals(planes.level, model.residual_level, names=names, excluded=~used, unit=background.unit)
    return axes, alt_text_residuals(planes.level[used], model.residual_level[used], unit=background.unit)


def _planes_in_space(background: Background) -> Drawing:
    from nbmosaic.views.alt_text import alt_text_background
    from nbmosaic.views.space_figures import plot_plane_3d

    model = background.model
    boxes, _ = frame_boxes(background.overlaps)
    axes = plot_plane_3d(
        model.planes, boxes, range(len(model)), names=frame_numbers(background.overlaps), origin=model.origin, unit=background.unit
    )
    return axes, f"{alt_text_background(model, unit=background.unit)}, drawn in space"
