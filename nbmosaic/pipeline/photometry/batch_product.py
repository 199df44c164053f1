"""Results of many photometric fits: one row a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from nbmosaic.errors import ConfigError, NbmosaicError
from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, ImagePhotometry, Photometry
from nbmosaic.pipeline.product import Product

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.photometry.worker import BatchKind

__all__ = ["FailedPhotometry", "PhotometryBatch", "with_request"]


@dataclass(frozen=True, eq=False, repr=False)
class FailedPhotometry(Product):
    """An image whose fit failed.

    Attributes
    ----------
    file : str
        Its file.
    error : NbmosaicError
        Why; ``error.context["traceback"]`` holds the traceback of the worker.
    kind : {"image", "star", "both"}
        Which fit.
    seconds : float
        Time that it took.
    """

    file: str
    error: NbmosaicError
    kind: BatchKind = "image"
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """File name without folder and ending."""
        from nbmosaic.io.paths import file_stem

        return file_stem(self.file)

    @property
    def title(self) -> str:
        """File and reason."""
        return f"{self.name}: {self.error}"

    @property
    def table(self) -> pd.DataFrame:
        """One row: file and reason."""
        import pandas as pd

        return pd.DataFrame([{"file": self.file, "error": str(self.error)}])


Result = ImagePhotometry | Photometry | ImageAndStarPhotometry | FailedPhotometry


def with_request(fit: Any, reference: Any, image: Any) -> Any:
    """A fit that came back from a worker, with the reference and the image that it was asked for."""
    if isinstance(fit, ImageAndStarPhotometry):
        return ImageAndStarPhotometry(with_request(one, reference, image) for one in fit)
    return replace(fit, request=replace(fit.request, reference=reference, image=image))


@dataclass(frozen=True, eq=False, repr=False)
class PhotometryBatch(Product):
    """Fits of many images.

    Attributes
    ----------
    results : tuple
        A fit, or a `FailedPhotometry`, for each image that is done.
    kind : {"image", "star", "both"}
        Which fits.
    total : int
        Number of images that were asked for.
    """

    row_column: ClassVar[str] = "name"
    shown_columns: ClassVar[tuple[str, ...]] = (
        "fwhm",
        "fwhm_err",
        "flags",
        "error",
        "beta",
        "beta_err",
        "scale",
        "scale_err",
        "dx",
        "dx_err",
        "dy",
        "dy_err",
        "star_fwhm",
        "star_fwhm_err",
    )

    results: tuple[Any, ...]
    kind: BatchKind = "image"
    total: int = 0

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.results)

    def __getitem__(self, key: int | str) -> Any:
        if isinstance(key, int):
            return self.results[key]
        for result in self.results:
            if _name(result) == key:
                return result
        raise ConfigError(f"there is no result of {key!r}", hint=f"there are {', '.join(map(_name, self.results[:8]))}")

    @property
    def fits(self) -> tuple[Any, ...]:
        """The fits that did not fail."""
        return tuple(result for result in self.results if not isinstance(result, FailedPhotometry))

    @property
    def failures(self) -> tuple[FailedPhotometry, ...]:
        """Images whose fit failed, with the reason."""
        return tuple(result for result in self.results if isinstance(result, FailedPhotometry))

    @property
    def title(self) -> str:
        """Number of fits and failures."""
        n, bad = len(self.fits), len(self.failures)
        to_come = f" of {self.total}" if self.total > len(self) else ""
        return f"{self.kind if self.kind != 'both' else 'image and star'} fits of {n}{to_come} image{'s' * (n != 1)}" + (
            f", {bad} failed" if bad else ""
        )

    @property
    def key_number(self) -> str:
        """Median FWHM."""
        import numpy as np

        values = [_first(fit).fwhm.value for fit in self.fits]
        return f"median fwhm {np.median(values):.3f} arcsec" if values else "no fit"

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a file: values, standard errors, flags, notes; of failures the reason."""
        import pandas as pd

        return pd.DataFrame([_row(result) for result in self.results])

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of the columns."""
        if not self.fits:
            return MappingProxyType({})
        units = dict(_first(self.fits[0]).units)
        units |= {f"star_{name}": unit for name, unit in units.items()}
        return MappingProxyType(units | {f"{name}_err": unit for name, unit in units.items()} | {"rms": units.get("bg", "")})

    def summary(self, header: bool = True) -> str:  # noqa: FBT001, FBT002 - imphot's signature
        """A line a fit, as imphot writes them, under one heading."""
        return "\n".join(fit.summary(header and number == 0) for number, fit in enumerate(self.fits))

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """FWHM against file."""
        from nbmosaic.pipeline.photometry.html import draw_batch

        return {"fwhm": lambda: draw_batch(self)}

    def plot(self, ax: Any = None) -> Any:
        """Draw FWHM with errors against file; returns Axes."""
        from nbmosaic.pipeline.photometry.html import draw_batch

        return draw_batch(self, ax=ax)[0]

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry.html import batch_html

        return batch_html(self)


def _first(fit: ImageAndStarPhotometry | Photometry) -> Photometry:
    return fit.image if isinstance(fit, ImageAndStarPhotometry) else fit


def _name(result: Any) -> str:
    return _first(result).name if not isinstance(result, FailedPhotometry) else result.name


def _row(result: Any) -> dict[str, Any]:
    import os

    from nbmosaic.pipeline.photometry.tables import batch_row

    if isinstance(result, FailedPhotometry):
        return {
            "name": result.name,
            "method": "stars" if result.kind == "star" else result.kind,
            "file": result.file,
            "error": str(result.error),
        }
    fit = _first(result)
    row = dict(batch_row(fit))
    if isinstance(result, ImageAndStarPhotometry):
        star = batch_row(result.star)
        row |= {"method": "both"} | {f"star_{key}": value for key, value in star.items() if key not in {"name", "method"}}
    item = fit.request.image
    return {**row, "file": os.fspath(item) if isinstance(item, str | os.PathLike) else "", "error": ""}
