"""DataFrames as FITS binary tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.io.cards import BLOCK
from nbmosaic.io.headers import Card, header_bytes, header_lines, plain_text

if TYPE_CHECKING:
    from pandas import DataFrame

    from nbmosaic._types import AnyArray

__all__ = ["table_hdu"]

_FORMS = {"b1": "L", "u1": "B", "i2": "I", "i4": "J", "i8": "K", "f4": "E", "f8": "D"}
_NULL = {"i2": -(2**15), "i4": -(2**31), "i8": -(2**63)}


def _column(values: Any) -> tuple[AnyArray, str, int | None]:
    """Stored column, its TFORM, and the number that stands for a missing whole number."""
    array = values.to_numpy()
    missing = values.isna().to_numpy()
    kind = str(values.dtype)
    if kind.startswith(("Int", "UInt")):
        stored = values.fillna(_NULL["i8"]).to_numpy(np.int64)
        return stored.astype(">i8"), "K", _NULL["i8"] if missing.any() else None
    if (array.dtype.kind == "u" and array.dtype.itemsize > 1) or (array.dtype.kind == "i" and array.dtype.itemsize == 1):
        array = array.astype(np.int64)
    code = array.dtype.str[1:]
    if code == "b1":
        return np.where(array, ord("T"), ord("F")).astype(np.uint8), "L", None
    if code in _FORMS:
        return array.astype(f">{code}"), _FORMS[code], None
    texts = ["" if gone else plain_text(value) for value, gone in zip(array, missing, strict=True)]
    width = max(1, *(len(text) for text in texts)) if texts else 1
    return np.array([text.encode("ascii") for text in texts], f"S{width}"), f"{width}A", None


def table_hdu(name: str, table: DataFrame) -> bytes:
    """One binary table with its header, as bytes to append to a FITS file.

    Parameters
    ----------
    name : str
        EXTNAME.
    table : DataFrame
        Numbers, booleans and text (other objects by their text; characters beyond ASCII are escaped).

    Returns
    -------
    bytes
        Whole FITS blocks.

    Examples
    --------
    >>> import pandas as pd
    >>> len(table_hdu("PLANES", pd.DataFrame({"a": [1.0]}))) % 2880
    0
    """
    columns = [(plain_text(key), *_column(table[key])) for key in table.columns]
    dtype = np.dtype([(f"f{i}", stored.dtype) for i, (_, stored, _, _) in enumerate(columns)])
    rows = np.zeros(len(table), dtype)
    cards: list[Card] = [
        ("XTENSION", "BINTABLE"),
        ("BITPIX", 8),
        ("NAXIS", 2),
        ("NAXIS1", dtype.itemsize),
        ("NAXIS2", len(table)),
        ("PCOUNT", 0),
        ("GCOUNT", 1),
        ("TFIELDS", len(columns)),
        ("EXTNAME", name),
    ]
    for i, (key, stored, form, null) in enumerate(columns):
        rows[f"f{i}"] = stored
        cards += [(f"TTYPE{i + 1}", key), (f"TFORM{i + 1}", form)]
        if null is not None:
            cards.append((f"TNULL{i + 1}", null))
    header = header_bytes(header_lines(cards))
    body = rows.tobytes()
    return header + body + b"\0" * (-len(body) % BLOCK)
