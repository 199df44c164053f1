"""The PSF of a cube against wavelength, as a product."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nbmosaic.errors import InputError
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry
from nbmosaic.pipeline.product import Product
from nbmosaic.types.wavelength_psf import WavelengthPsf

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic._types import FloatArray, IntArray, PathLike

__all__ = ["CubePsf"]

FITS_ENDINGS = (".fits", ".fits.gz", ".fit", ".fts")


@dataclass(frozen=True, eq=False, repr=False)
class CubePsf(Product):
    """FWHM and beta of a cube as polynomials of wavelength.

    Attributes
    ----------
    psf : WavelengthPsf
        The polynomials, and the estimates of the bands.
    results : tuple
        The fit of each band, or a `FailedPhotometry`.
    planes : ndarray of int, shape (n_bands, 2)
        First plane of each band, and the one after its last.
    name, filename : str
        Name of the cube, and its file (empty for a cube in memory).
    """

    row_column: ClassVar[str] = "band"
    shown_columns: ClassVar[tuple[str, ...]] = (
        "wavelength",
        "fwhm",
        "fwhm_err",
        "fwhm_fit",
        "beta",
        "beta_err",
        "beta_fit",
        "scale",
        "dx",
        "dy",
        "used",
        "flags",
        "error",
    )

    psf: WavelengthPsf
    results: tuple[Any, ...]
    planes: IntArray
    name: str
    filename: str = ""

    def __len__(self) -> int:
        return len(self.results)

    @property
    def failures(self) -> tuple[FailedPhotometry, ...]:
        """Bands whose fit failed, with the reason."""
        return tuple(result for result in self.results if isinstance(result, FailedPhotometry))

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""
        return self.psf.notes

    @property
    def title(self) -> str:
        """Number of bands, FWHM at both ends."""
        first, last = self.psf.reference_range
        ends = [f"{float(self.fwhm_at(wavelength)):.3f}" for wavelength in (first, last)]
        used = int(np.count_nonzero(self.psf.used))
        return f"PSF of {self.name} from {used} of {len(self)} bands: fwhm {ends[0]} arcsec at {first:g} angstrom, {ends[1]} at {last:g}"

    @property
    def key_number(self) -> str:
        """FWHM in the middle."""
        middle = 0.5 * sum(self.psf.reference_range)
        return f"fwhm {float(self.fwhm_at(middle)):.3f} arcsec at {middle:g} angstrom"

    def fwhm_at(self, wavelength: FloatArray | float) -> FloatArray:
        """FWHM (arcsec) at wavelengths in angstrom."""
        return self.psf.fwhm_at(wavelength)

    def beta_at(self, wavelength: FloatArray | float) -> FloatArray:
        """Beta at wavelengths in angstrom."""
        return self.psf.beta_at(wavelength)

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a band: fitted values with standard errors, the polynomials there, flags, and the reason of a failure."""
        import pandas as pd

        from nbmosaic.pipeline.photometry.tables import batch_row

        psf = self.psf
        fitted = (psf.fwhm_at(psf.wavelength), psf.beta_at(psf.wavelength))
        rows = []
        for i, result in enumerate(self.results):
            row: dict[str, Any] = {"band": i, "wavelength": psf.wavelength[i], "first": self.planes[i, 0], "last": self.planes[i, 1] - 1}
            if isinstance(result, FailedPhotometry):
                row |= {"error": str(result.error)}
            else:
                row |= {key: value for key, value in batch_row(result).items() if key not in {"name", "method"}} | {"error": ""}
            rows.append(row | {"fwhm_fit": fitted[0][i], "beta_fit": fitted[1][i], "used": bool(psf.used[i])})
        return pd.DataFrame(rows)

    @property
    def column_units(self) -> Mapping[str, str]:
        """Units of the columns."""
        lengths = ("fwhm", "fwhm_err", "fwhm_fit", "dx", "dx_err", "dy", "dy_err", "dra", "ddec", "dra_err", "ddec_err")
        return MappingProxyType({"wavelength": "angstrom"} | dict.fromkeys(lengths, "arcsec"))

    @property
    def cards(self) -> dict[str, tuple[int | float | str, str]]:
        """The polynomials as MUSE's FSF keywords, which mpdaf's ``FSFModel`` reads: value and comment by keyword."""
        return self.header_cards()

    def header_cards(self, *, field: int = 0) -> dict[str, tuple[int | float | str, str]]:
        """As `cards`, for a field of a mosaic of several."""
        from nbmosaic.core.psf.wavelength import fsf_cards

        return fsf_cards(self.psf, field=field)

    def save_header(self, path: PathLike, *, field: int = 0, overwrite: bool = False) -> CubePsf:
        """Write the FSF keywords.

        Parameters
        ----------
        path : path
            ``.fits`` or ``.fits.gz``: a copy of the cube with the keywords in its primary header (the cube itself is not changed); any other name: a
            text file with a card a line.
        field : int
            Number of the field in a mosaic of several.
        overwrite : bool
            Whether the file may exist.

        Returns
        -------
        CubePsf
            The same product.

        Raises
        ------
        InputError
            A copy of a cube that is not in a file.
        FormatError
            The file cannot be written.
        """
        from nbmosaic.io.header_copy import copy_with_cards, write_card_file

        cards = self.header_cards(field=field)
        if not str(path).lower().endswith(FITS_ENDINGS):
            write_card_file(path, cards, overwrite=overwrite)
        elif self.filename:
            copy_with_cards(self.filename, path, cards, overwrite=overwrite)
        else:
            raise InputError("the cube is not in a file: it cannot be copied", hint="write the cards to a text file, or take .cards")
        return self

    def pictures(self) -> Mapping[str, Callable[[], tuple[Any, str]]]:
        """FWHM and beta against wavelength."""
        from nbmosaic.pipeline.photometry.html import draw_cube

        return {"wavelength": lambda: draw_cube(self)}

    def plot(self, *, figure: Any = None) -> Any:
        """Draw FWHM and beta of the bands, and the polynomials, against wavelength; returns the two axes."""
        from nbmosaic.views.psf_figures import plot_wavelength_psf

        return plot_wavelength_psf(self.psf, figure=figure)

    def _repr_html_(self) -> str:
        from nbmosaic.pipeline.photometry.html import cube_html

        return cube_html(self)
