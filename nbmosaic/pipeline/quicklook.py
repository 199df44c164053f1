"""How products and runs draw themselves: which numbers and pictures the views get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import BoolArray, FloatArray, IntArray
from nbmosaic.errors import ConfigError, FormatError
from nbmosaic.pipeline.products import Background, Frames, Mosaic, Overlaps, Product, Projected
from nbmosaic.pipeline.recipe import choose

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.run import Run, StepRecord
    from nbmosaic.views.rows import StageRow

__all__ = ["Picture", "mosaic_html", "picture", "product_html", "product_text", "run_html", "run_text"]

PICTURE_WIDTH = 640


def product_text(title: str, table: pd.DataFrame) -> str:
    """Title and the first rows of the table."""
    from nbmosaic.views.text import table_text

    rows = list(table.head(8).itertuples(index=False, name=None))
    if not len(table.columns):
        return title
    return table_text(rows, list(map(str, table.columns)), title=title, total=len(table))


def product_html(title: str, table: pd.DataFrame, *parts: Any) -> str:
    """Title, the first rows of the table, and further parts."""
    from nbmosaic.views.html import fragment, frame_html

    body = frame_html(table, title=title) if len(table.columns) else title
    return str(fragment(body, *parts, fallback=product_text(title, table), label=title))


def preformatted(text: str) -> str:
    """Text as it is, for when nothing better can be drawn."""
    from nbmosaic.views.markup import escape

    return f"<pre>{escape(text)}</pre>"


def mosaic_alt(mosaic: Mosaic) -> str:
    """The mosaic in words."""
    from nbmosaic.views.alt_text import alt_text_mosaic

    step = max(1, int(np.sqrt(mosaic.data.size / 1e6)))
    thin = np.asarray(mosaic.data[::step, ::step])
    blank = float(np.mean(~np.isfinite(thin))) if thin.size else 1.0
    return str(alt_text_mosaic(mosaic.shape, mosaic.n_frames, blank))


def mosaic_png(mosaic: Mosaic) -> bytes:
    """Quicklook of a mosaic."""
    from nbmosaic.views.mosaic_figures import image_png

    return image_png(mosaic.data, mosaic.wcs, width=PICTURE_WIDTH, unit=mosaic.unit)


def mosaic_html(mosaic: Mosaic) -> str:
    """Numbers and quicklook of a mosaic."""
    from nbmosaic.views.html import image_tag

    try:
        return product_html(mosaic.title, mosaic.table, image_tag(mosaic_png(mosaic), mosaic_alt(mosaic)))
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
    png, alt = (mosaic_png(found), mosaic_alt(found)) if isinstance(found, Mosaic) else (None, "")
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

    def save(self, path: str) -> None:
        """Write the PNG."""
        try:
            Path(path).write_bytes(self.png)
        except OSError as error:
            raise FormatError(f"cannot write {path}: {error.strerror}", hint="choose another file", path=str(path)) from error


def picture(product: Product, *, kind: str | None, width: int) -> Picture:
    """The picture of a product of one kind.

    Raises
    ------
    ConfigError
        There is no picture of this kind.
    """
    from nbmosaic.views.figures import figure_png

    kinds = _kinds(product)
    if not kinds:
        raise ConfigError(f"there is no picture of {type(product).__name__}", hint="its table says it all")
    name = next(iter(kinds)) if kind is None else choose(kind, kinds, option="kind")
    axes = kinds[name]()
    png = figure_png(axes, width * 100)
    return Picture(png, f"{name} of {product.title}")


def _kinds(product: Product) -> dict[str, Callable[[], Any]]:
    if isinstance(product, Mosaic):
        return {"image": product.plot, "coverage": lambda: _coverage(product)}
    if isinstance(product, Background):
        return {
            "planes": product.plot,
            "network": lambda: _overlap_network(
                product.overlaps, product.model.residual_level, product.model.weight == 0, "difference left after correction"
            ),
            "errors": lambda: _errors(product),
            "residuals": lambda: _residuals(product),
        }
    if isinstance(product, Frames):
        return {"footprints": product.plot}
    if isinstance(product, Projected):
        return {"footprints": product.frames.plot}
    if isinstance(product, Overlaps):
        return {"network": lambda: _overlap_network(product, product.planes.level, ~product.used, "difference of the frames")}
    return {"picture": lambda: product} if isinstance(product, Picture) else {}


def _coverage(mosaic: Mosaic) -> Any:
    from nbmosaic.views.mosaic_figures import plot_coverage

    return plot_coverage(mosaic.area, mosaic.wcs)


def frame_boxes(overlaps: Overlaps) -> tuple[IntArray, list[int]]:
    """Boxes of the frames as rows ``ymin, ymax, xmin, xmax``, and the indices of the frames."""
    indices = sorted(overlaps.boxes)
    boxes = [overlaps.boxes[index] for index in indices]
    return np.array([[b.ymin, b.ymax, b.xmin, b.xmax] for b in boxes], dtype=np.int64).reshape(-1, 4), indices


def _overlap_network(overlaps: Overlaps, differences: FloatArray, excluded: BoolArray, title: str) -> Any:
    from nbmosaic.views.background_figures import plot_overlap_network

    boxes, indices = frame_boxes(overlaps)
    pairs = np.searchsorted(indices, np.stack([overlaps.planes.plus, overlaps.planes.minus], axis=1))
    return plot_overlap_network(boxes, pairs, differences, excluded=excluded, title=title)


def _errors(background: Background) -> Any:
    from nbmosaic.views.background_figures import plot_plane_errors

    model = background.model
    names = [background.overlaps.names[int(index)] for index in model.frames]
    return plot_plane_errors(model.level, model.level_stderr, names=names, component=model.component)


def _residuals(background: Background) -> Any:
    from nbmosaic.views.background_figures import plot_residuals

    model = background.model
    return plot_residuals(background.overlaps.planes.level, model.residual_level, excluded=model.weight == 0)
