"""What all products have in common: a title, a table, and forms for notebooks and terminals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Product"]


class Product:
    """Base of what stages return: text, HTML and a picture, none of which ever raises.

    Attributes
    ----------
    row_column : str
        Column of the table that names its rows where they are shown; empty: the number of the row.
    shown_columns : tuple of str
        Columns that are shown, the most useful first; empty: all. `table` always has all of them.
    """

    row_column: ClassVar[str] = ""
    shown_columns: ClassVar[tuple[str, ...]] = ()

    @property
    def title(self) -> str:
        """One line that says what the product is."""
        return type(self).__name__

    @property
    def key_number(self) -> str:
        """The number that a line of a run shows."""
        return ""

    @property
    def table(self) -> pd.DataFrame:
        """The product as a DataFrame."""
        import pandas as pd

        return pd.DataFrame()

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of columns of the table, shown under their headings."""
        return MappingProxyType({})

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """Pictures of the product by name, the best first: functions that draw one, and give its axes and what it shows in words."""
        return MappingProxyType({})

    def __repr__(self) -> str:
        from nbmosaic.pipeline.quicklook import product_text

        try:
            return product_text(self)
        except Exception as error:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return f"<{type(self).__name__}: {type(error).__name__}: {error}>"

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.quicklook import preformatted, product_html

        try:
            return product_html(self)
        except Exception:  # noqa: BLE001 - a repr must not raise: a notebook cell would fail
            return preformatted(repr(self))
