"""How results look in a cell: tables of products with as many rows as ``%config MosaicMagics.displaylimit`` says, pictures of our plots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["axes_picture", "html_formatter", "text_formatter"]


def html_formatter(magics: Any) -> Callable[[Any], str]:
    """Give a formatter for HTML.

    Parameters
    ----------
    magics : MosaicMagics
        Holds the limit.
    """

    def draw(product: Any) -> str:
        from nbmosaic.pipeline.quicklook import product_html

        if not _is_table(product, "_repr_html_") or magics.displaylimit == type(magics).displaylimit.default_value:
            return str(product._repr_html_())
        try:
            return product_html(product, limit=magics.displaylimit)
        except Exception:  # noqa: BLE001 - a repr must not raise: the cell would fail
            return str(product._repr_html_())

    return draw


def text_formatter(magics: Any) -> Callable[[Any, Any, bool], None]:
    """Give a formatter for plain text.

    Parameters
    ----------
    magics : MosaicMagics
        Holds the limit.
    """

    def draw(product: Any, printer: Any, cycle: bool) -> None:  # noqa: FBT001 - IPython calls it so
        from nbmosaic.pipeline.quicklook import product_text

        text = "..." if cycle else repr(product)
        if not cycle and _is_table(product, "__repr__") and magics.displaylimit != type(magics).displaylimit.default_value:
            try:
                text = product_text(product, limit=magics.displaylimit)
            except Exception:  # noqa: BLE001 - a repr must not raise: the cell would fail
                text = repr(product)
        printer.text(text)

    return draw


def axes_picture(axes: Any) -> tuple[bytes, dict[str, str]] | None:
    """PNG of a plot that a function of ours returned as the last value of a cell, with alt text; None for axes that the user made.

    Our figures belong to no pyplot, so nothing else would show them, and nothing shows them twice.
    """
    from nbmosaic.views.figures import figure_png
    from nbmosaic.views.look import has_house_style

    figure = axes.get_figure(root=True)
    if figure is None or not has_house_style(figure):
        return None
    parts = [part for panel in figure.axes for part in (panel.get_title(), panel.get_ylabel(), panel.get_xlabel()) if part]
    return figure_png(axes), {"alt": "plot: " + ", ".join(dict.fromkeys(parts))}


def _is_table(product: Any, method: str) -> bool:
    """Whether a product draws itself as its table (and not as a picture)."""
    from nbmosaic.pipeline.products import Product

    return isinstance(product, Product) and getattr(type(product), method) is getattr(Product, method) and len(product.table.columns) > 0
