"""Keys of values: what tells the cache that two calls of a stage would give the same.

A key is a digest of everything that can change a result: names, options, files (real path, size, time of change), arrays and tables by their
content. A value without such a key (an object of an unknown class, a function) is `Unkeyable`, and what depends on it is never cached.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.errors import NbmosaicError
from nbmosaic.pipeline.product import Product

__all__ = ["ProductKeys", "Unkeyable", "array_sum", "code_version", "digest", "file_keys", "frame_values", "wcs_values"]

KEY = "_cache_key"
BLOCK_BYTES = 1 << 16
"""Arrays are summed in blocks of this size: products and sums stay in the first-level caches."""


class Unkeyable(Exception):  # noqa: N818 - not an error: what cannot be cached is run
    """A value without a stable key; its text says which."""


def digest(*values: Any, products: ProductKeys | None = None, files: bool = False) -> str:
    """Key of some values, as 32 hexadecimal digits.

    Parameters
    ----------
    *values
        Plain values, paths, arrays, tables, headers, images, products, and lists and mappings of these.
    products : ProductKeys, optional
        Knows the keys of products.
    files : bool
        Whether texts may be names of files, whose state then belongs to the key.

    Raises
    ------
    Unkeyable
        A value has no stable key.

    Examples
    --------
    >>> digest("project", {"method": "spline"}) == digest("project", {"method": "spline"})
    True
    """
    state = hashlib.blake2b(digest_size=16)
    for chunk in _chunks(list(values), products, files=files):
        state.update(len(chunk).to_bytes(8, "little"))  # so that ("ab", "c") and ("a", "bc") differ
        state.update(chunk)
    return state.hexdigest()


def _chunks(value: Any, products: ProductKeys | None, *, files: bool) -> Iterator[bytes]:
    """Bytes that stand for a value."""
    if isinstance(value, str | os.PathLike):
        yield f"text {os.fspath(value)}".encode()
        if files:
            yield from (repr(key).encode() for key in file_keys(os.fspath(value)))
    elif value is None or isinstance(value, bool | int | float | complex | bytes):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, np.ndarray):
        yield from _array_chunks(value)
    elif isinstance(value, np.generic):
        yield from _chunks(value.item(), products, files=files)
    elif isinstance(value, Mapping) and not hasattr(value, "cards"):
        yield b"mapping"
        for name in sorted(value, key=repr):
            yield from _chunks([name, value[name]], products, files=files)
    elif type(value) in {list, tuple}:
        yield f"sequence {len(value)}".encode()
        for item in value:
            yield from _chunks(item, products, files=files)
    elif isinstance(value, set | frozenset | range):
        yield from _chunks(sorted(value, key=repr), products, files=files)
    elif isinstance(value, Product):
        if products is None:
            raise Unkeyable(type(value).__name__)
        yield products.key(value).encode()
    else:
        yield from _object_chunks(value, products)


def _array_chunks(array: AnyArray) -> Iterator[bytes]:
    if array.dtype.hasobject:
        raise Unkeyable("an array of objects")
    yield f"array {array.dtype.str} {array.shape} {getattr(array, 'unit', '')}".encode()
    if isinstance(array, np.ma.MaskedArray):
        yield array_sum(np.ma.getmaskarray(array))
    yield array_sum(np.asarray(array))


def array_sum(array: AnyArray) -> bytes:
    """Fingerprint of the bytes of an array: sums with odd random weights modulo 2**64 of each block, then BLAKE2b of the sums.

    Any one change is found, and any others with probability 1 - 2**-63 for each block; 0.15 ns a byte, an eighth of what BLAKE2b takes.
    """
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(flat) // BLOCK_BYTES * BLOCK_BYTES
    state = hashlib.blake2b(flat[whole:].tobytes(), digest_size=16)
    if whole:
        blocks = flat[:whole].view(np.uint64).reshape(-1, BLOCK_BYTES // 8)
        state.update(np.einsum("ij,j->i", blocks, _weights()).tobytes())
    return state.digest()


@lru_cache(maxsize=1)
def _weights() -> AnyArray:
    # odd numbers are invertible modulo 2**64, so no change of one word is lost
    return np.random.default_rng(20).integers(0, 2**64, BLOCK_BYTES // 8, dtype=np.uint64) | np.uint64(1)


def _object_chunks(value: Any, products: ProductKeys | None) -> Iterator[bytes]:
    """Bytes that stand for an object of a library or of our own, told by what it has, so that nothing is imported."""
    module = type(value).__module__
    if isinstance(value, list) and hasattr(value, "fileinfo"):
        yield from _image_chunks(value, products)
    elif module.partition(".")[0] == "pandas":
        yield from _table_chunks(value)
    elif hasattr(value, "tostring") and hasattr(value, "cards"):
        yield value.tostring(sep="\n").encode("latin-1", "replace")
    elif hasattr(value, "wcs") and hasattr(value, "sip") and hasattr(value.wcs, "crpix"):
        yield from _chunks(wcs_values(value), products, files=False)
    elif is_dataclass(value) and not isinstance(value, type) and module.startswith("nbmosaic."):
        yield f"{module}.{type(value).__qualname__}".encode()
        for field in fields(value):
            yield from _chunks(getattr(value, field.name), products, files=False)
    elif hasattr(value, "fileinfo") or (hasattr(value, "data") and hasattr(value, "wcs")):
        yield from _image_chunks(value, products)
    else:
        raise Unkeyable(type(value).__name__)


def _table_chunks(table: Any) -> Iterator[bytes]:
    import pandas as pd

    try:
        rows = pd.util.hash_pandas_object(table, index=True)
    except TypeError as error:
        raise Unkeyable(f"a table with {error}") from error
    columns = getattr(table, "columns", None)
    yield f"table {None if columns is None else list(map(str, columns))} {getattr(table, 'dtypes', '')!s} {table.attrs!r}".encode()
    yield array_sum(rows.to_numpy())


def _image_chunks(value: Any, products: ProductKeys | None) -> Iterator[bytes]:
    """Bytes that stand for an image object: all of an HDU list, because any HDU may hold a weight or mask."""
    if isinstance(value, list):
        for hdu in value:
            yield from _image_chunks(hdu, products)
    elif hasattr(value, "fileinfo"):
        yield value.header.tostring(sep="\n").encode("latin-1", "replace")
        yield repr((value.fileinfo() or {}).get("filename")).encode()
        yield from _array_chunks(np.asarray(value.data)) if hasattr(value.data, "dtype") else (b"no data",)
    else:
        from nbmosaic.io.objects import image_objects

        try:
            (one,) = image_objects(value, 0)
        except NbmosaicError as error:
            raise Unkeyable(type(value).__name__) from error
        cards = None if one.cards is None else one.cards.lines()
        yield f"image {one.unit} {one.meaning} {one.path} {cards}".encode()
        yield from _chunks([one.data, one.mask, one.uncertainty, one.wcs], products, files=False)


def wcs_values(wcs: Any) -> list[Any]:
    """Numbers and words of a WCS, exact to the bit (a header rounds them)."""
    inner = wcs.wcs
    values: list[Any] = [wcs.naxis, list(inner.ctype), [str(unit) for unit in inner.cunit], inner.crpix, inner.crval]
    values += [inner.get_cdelt(), inner.get_pc(), inner.lonpole, inner.latpole, list(inner.get_pv()), list(inner.get_ps())]
    values += [inner.radesys, inner.equinox, inner.dateobs, inner.mjdobs]
    if wcs.sip is not None:
        values += [wcs.sip.a, wcs.sip.b, wcs.sip.ap, wcs.sip.bp, wcs.sip.crpix]
    for table in (wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2):
        values.append(None if table is None else [table.data, list(table.crpix), list(table.crval), list(table.cdelt)])
    return values


def file_keys(text: str) -> list[tuple[str, int, int]]:
    """Real path, size and time of change of the files that a text names: a file, a pattern, a folder of FITS files; none if it names none."""
    from nbmosaic.io.meta import content_key
    from nbmosaic.io.paths import expand_inputs, split_hdu

    if not text or "\0" in text or "\n" in text:
        return []
    try:
        keys = [content_key(split_hdu(name)[0]) for name in expand_inputs(text)]
    except (NbmosaicError, OSError, ValueError):
        return []
    return [key for key in keys if key is not None]


@lru_cache(maxsize=1)
def code_version() -> str:
    """Digest of the version, of the source files of this package, and of the packages that compute: results of other code are not used."""
    import platform
    import sys

    import astropy
    import numba
    import scipy

    from nbmosaic import __version__

    root = Path(__file__).parents[2]
    files = []
    for folder in ("core", "io", "types", "pipeline"):
        for path in sorted((root / folder).rglob("*.py")):
            status = path.stat()
            files.append((str(path.relative_to(root)), status.st_size, status.st_mtime_ns))
    versions = (__version__, np.__version__, scipy.__version__, astropy.__version__, numba.__version__)
    return digest(files, versions, sys.version, platform.machine())


class ProductKeys:
    """Keys of products: of those that a cached step made, the key of that step; of others, a key of their content where they have one.

    A key is kept with the product, where `cached_property` keeps its values, too: not every product can be referred to weakly.
    """

    def learn(self, product: Product, key: str) -> None:
        """Note which step made a product; one that only passed it on (`save`) changes nothing."""
        product.__dict__.setdefault(KEY, key)

    def key(self, product: Product) -> str:
        """Key of a product.

        A product of unknown make whose content has no key gets one of its own, which holds as long as it lives: products are frozen.
        """
        if KEY not in product.__dict__:
            try:
                key = self.content(product)
            except Unkeyable:
                key = f"{type(product).__name__} {uuid.uuid4().hex}"
            self.learn(product, key)
        return str(product.__dict__[KEY])

    def content(self, product: Product) -> str:
        """Key of a product's content.

        Raises
        ------
        Unkeyable
            Its class has none.
        """
        name = type(product).__name__
        if name not in {"Frames", "Grid", "Table"}:
            raise Unkeyable(name)
        return digest(name, *_contents(product), products=self)


def _contents(product: Any) -> Iterable[Any]:
    if type(product).__name__ == "Frames":
        return [product.skipped, [frame_values(info) for info in product.infos]]
    if type(product).__name__ == "Grid":
        return [product.grid]
    return [product.frame, product.path]


def frame_values(info: Any) -> list[Any]:
    """What a frame's pixels and sky positions depend on; files are known by path, size and time of change, which their sources carry."""
    meta = {name: value for name, value in info.meta.items() if isinstance(value, str | int | float | bool | None)}
    path = str(meta.get("file") or "")
    return [info.name, os.path.realpath(path) if path else "", info.shape, wcs_values(info.wcs), info.source, meta, info.flux_scale]
