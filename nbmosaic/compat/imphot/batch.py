"""imphot's iterators over many images."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from nbmosaic.compat.imphot import fits
from nbmosaic.compat.imphot.errors import UserError, WorkerError, as_user_error, imphot_errors
from nbmosaic.compat.imphot.outputs import Outputs
from nbmosaic.compat.imphot.values import FittedImagePhotometry, FittedStarPhotometry
from nbmosaic.errors import FormatError, NbmosaicError, StepError
from nbmosaic.pipeline.photometry import batch as photometry_batch
from nbmosaic.pipeline.photometry.batch import OnError, Order, PhotometryIterator
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry, PhotometryBatch
from nbmosaic.pipeline.recipe import choose, did_you_mean

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

    from nbmosaic.pipeline.worker_pool import StartMethod

__all__ = ["FitImageAndStarPhotometryMP", "FitImagePhotometryMP", "FitStarPhotometryMP"]


class _PhotometryMP(Iterator[Any]):
    """Base of the iterators.

    Parameters
    ----------
    hst_filename : str or image
        The HST image; each worker reads it once.
    muse_filenames : list of str
        The MUSE images.
    kwargs : mapping, optional
        Arguments of the fitting function.
    nworker : int
        Worker processes: 0: one for each processor; ``-n``: all processors but n, at least 1; never more than there are images.
    on_error : {"raise", "skip"}
        An image that fails raises its error when its turn comes (the others can still be had by going on, and what is done is in `results`), or
        gives a result that carries the error as ``.error``.
    order : {"input", "completed"}
        Results in the order of the images, as imphot gives them, or as they are done.
    executor : concurrent.futures.Executor, optional
        Runs the fits instead of processes of its own.
    start_method : {"forkserver", "spawn", "fork"}, optional
        How workers are started.

    Notes
    -----
    ``for``, ``next(it)`` and ``it.next()`` give the results; an empty list gives none. Within ``with`` the workers are ended at its end; without
    it with the last image. Files and pictures of an image (``save``, ``apply``, ``hardcopy``, ``display``) are made when its result is given.
    """

    _function: ClassVar[Callable[..., Any]]
    _options: ClassVar[Callable[..., tuple[dict[str, Any], Outputs]]]
    _iterator: ClassVar[type[PhotometryIterator]]
    _needs_star: ClassVar[bool] = False

    def __init__(
        self,
        hst_filename: Any,
        muse_filenames: Iterable[Any],
        kwargs: Mapping[str, Any] | None = None,
        nworker: int = 0,
        *,
        on_error: OnError = "raise",
        order: Order = "input",
        executor: Executor | None = None,
        start_method: StartMethod | None = None,
    ) -> None:
        given = dict(kwargs or {})
        self._check(given)
        with imphot_errors():
            self._on_error = choose(on_error, ("raise", "skip"), option="on_error")
            options, self._outputs = self._options(**given)
            self._hst = hst_filename
            self._fits = self._iterator(
                hst_filename,
                muse_filenames,
                options,
                nworker,
                executor=executor,
                order=order,
                on_error="skip",
                start_method=start_method,
                pictures=self._outputs.needs_arrays,
            )

    def _check(self, given: Mapping[str, Any]) -> None:
        known = list(inspect.signature(self._function).parameters)[2:]
        for name in given:
            if name not in known:
                hint = did_you_mean(name, known) or f"it has {', '.join(known)}"
                raise UserError(f"{self._function.__name__}() got an unexpected keyword argument {name!r}", hint=hint)
        if self._needs_star and given.get("star") is None:
            raise UserError("Missing argument: star=(ra,dec,radius)")

    @property
    def njob(self) -> int:
        """Number of images."""
        return self._fits.njob

    @property
    def nworker(self) -> int:
        """Number of workers."""
        return self._fits.nworker

    def __len__(self) -> int:
        return self.njob

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        result = self._face(next(self._fits), outputs=True)
        if isinstance(result, FailedPhotometry) and self._on_error == "raise":
            raise result.error
        return result

    def next(self) -> Any:
        """Give the next result; StopIteration after the last."""
        return next(self)

    def close(self) -> None:
        """End the workers; what is done stays in `results`."""
        self._fits.close()

    @property
    def results(self) -> tuple[Any, ...]:
        """Everything that is done so far, in the order of the images, failures too: also after an error was raised."""
        return tuple(self._face(one, outputs=False) for one in self._fits.results)

    @property
    def batch(self) -> PhotometryBatch:
        """The results so far as nbmosaic's own product: table, plot of FWHM against file, failures."""
        return self._fits.batch

    @property
    def table(self) -> pd.DataFrame:
        """One row a file of the results so far."""
        return self._fits.table

    def _face(self, result: Any, *, outputs: bool) -> Any:
        if isinstance(result, FailedPhotometry):
            return replace(result, error=self._error(result))
        if outputs:
            self._make(result)
        return self._value(result)

    def _make(self, result: Any) -> None:
        self._outputs.make(result)

    def _value(self, result: Any) -> Any:
        raise NotImplementedError

    def _error(self, failed: FailedPhotometry) -> NbmosaicError:
        """The error of an image in imphot's words."""
        error = failed.error
        if isinstance(error, StepError):
            lines = str(error.context.get("traceback", "")).splitlines()
            return WorkerError(error.message, lines, hint=error.hint)
        if isinstance(error, FormatError):
            hst = os.fspath(self._hst) if isinstance(self._hst, str | os.PathLike) else ""
            is_hst = bool(hst) and hst in {str(error.context.get("path", "")), *error.message.split("'")}
            which, name = ("HST", hst) if is_hst else ("MUSE", failed.file)
            return UserError(f"Error reading {which} file: {name}", hint=str(error))
        return as_user_error(error)


class FitImagePhotometryMP(_PhotometryMP):
    """`fit_image_photometry` of many images in worker processes.

    Parameters
    ----------
    hst_filename : str
        The HST image.
    muse_filenames : list of str
        The MUSE images.
    kwargs : mapping, optional
        Arguments of `fit_image_photometry`.
    nworker : int
        Worker processes; 0: one for each processor; ``-n``: all processors but n.
    **options
        ``on_error="raise"`` or ``"skip"``, ``order="input"`` or ``"completed"``, ``executor``, ``start_method``.

    Examples
    --------
    >>> with FitImagePhotometryMP("hst.fits", files, {"fix_beta": 2.8}) as images:  # doctest: +SKIP
    ...     for fit in images:
    ...         print(fit.summary(header=False))
    """

    _function = staticmethod(fits.fit_image_photometry)
    _options = staticmethod(fits.image_options)
    _iterator = photometry_batch.FitImagePhotometryMP

    def _value(self, result: Any) -> FittedImagePhotometry:
        return FittedImagePhotometry.of(result)


class FitStarPhotometryMP(_PhotometryMP):
    """`fit_star_photometry` of many images in worker processes; `kwargs` holds ``star``.

    Parameters
    ----------
    hst_filename, muse_filenames, kwargs, nworker, **options
        See `FitImagePhotometryMP`.
    """

    _function = staticmethod(fits.fit_star_photometry)
    _options = staticmethod(fits.star_options)
    _iterator = photometry_batch.FitStarPhotometryMP
    _needs_star = True

    def _value(self, result: Any) -> FittedStarPhotometry:
        return FittedStarPhotometry.of(result)


class FitImageAndStarPhotometryMP(_PhotometryMP):
    """`fit_image_and_star_photometry` of many images in worker processes; each result is a pair, `kwargs` holds ``star``.

    Parameters
    ----------
    hst_filename, muse_filenames, kwargs, nworker, **options
        See `FitImagePhotometryMP`.
    """

    _function = staticmethod(fits.fit_image_and_star_photometry)
    _options = staticmethod(fits.pair_options)
    _iterator = photometry_batch.FitImageAndStarPhotometryMP
    _needs_star = True

    def _make(self, result: Any) -> None:
        fits.make_pair_outputs(self._outputs, result)

    def _value(self, result: Any) -> tuple[FittedImagePhotometry, FittedStarPhotometry]:
        return FittedImagePhotometry.of(result.image), FittedStarPhotometry.of(result.star)
