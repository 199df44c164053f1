"""A running batch of fits, watched and stopped: what the batch panel shows and what a program can use in the same way."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nbmosaic.errors import ConfigError, NbmosaicError
from nbmosaic.pipeline.photometry.batch import PhotometryIterator
from nbmosaic.pipeline.photometry.batch_product import FailedPhotometry, PhotometryBatch
from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, Photometry
from nbmosaic.pipeline.progress import ProgressState

if TYPE_CHECKING:
    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["BatchHandle", "BatchState", "BatchWatch", "watch_batch"]


@runtime_checkable
class BatchHandle(Protocol):
    """What runs a batch elsewhere: the handle of a detached cell."""

    def done(self) -> bool:
        """Whether it has ended."""

    def cancel(self) -> bool:
        """Stop it."""

    def result(self, timeout: float | None = None) -> Any:
        """Its result."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BatchState:
    """How far a batch is.

    Attributes
    ----------
    batch : PhotometryBatch
        The results so far.
    running, cancelled : bool
        Whether it goes on; whether it was stopped before its end.
    line : str
        The same in words, with the time left.
    error : str
        Why it ended before its end, if it was not stopped.
    """

    batch: PhotometryBatch
    running: bool
    cancelled: bool = False
    line: str = ""
    error: str = ""

    @property
    def n_done(self) -> int:
        """Images that are done, failed ones too."""
        return len(self.batch)

    @property
    def total(self) -> int:
        """Images in all."""
        return max(self.batch.total, len(self.batch))


class BatchWatch:
    """A batch of fits that goes on in a thread, and what is known of it.

    Parameters
    ----------
    source : PhotometryIterator, PhotometryBatch or BatchHandle
        An iterator is gone through in a thread of its own from `start` on, and must not be gone through elsewhere; images that fail do not end it.
        A finished batch is shown as it is. A handle goes on by itself.

    Examples
    --------
    >>> watch = BatchWatch(FitImagePhotometryMP("hst.fits", files))  # doctest: +SKIP
    >>> watch.start()  # doctest: +SKIP
    >>> watch.state.line, watch.cancel()  # doctest: +SKIP
    """

    def __init__(self, source: PhotometryIterator | PhotometryBatch | BatchHandle) -> None:
        if not isinstance(source, PhotometryIterator | PhotometryBatch | BatchHandle):
            raise ConfigError(
                f"{type(source).__name__} is no batch of fits", hint="give an iterator of fits, its batch, or the handle of a cell"
            )
        self.source = source
        self._thread: threading.Thread | None = None
        self._cancelled = False
        self._error = ""
        self._progress = ProgressState()

    def start(self) -> None:
        """Let an iterator run; nothing else needs it."""
        if isinstance(self.source, PhotometryIterator) and self._thread is None:
            self._progress.begin("fit", self.source.njob)
            self._thread = threading.Thread(target=self._go, args=(self.source,), name="nbmosaic batch", daemon=True)
            self._thread.start()

    def _go(self, iterator: PhotometryIterator) -> None:
        """Go through all images; those that fail are among the results, too."""
        try:
            while True:
                try:
                    next(iterator)
                except StopIteration:
                    return
                except NbmosaicError as error:
                    if len(iterator.results) < iterator.njob and not any(one.error is error for one in iterator.batch.failures):
                        self._error = str(error)  # not that of an image
                        return
        except BaseException as error:  # noqa: BLE001 - nobody else would see it
            self._error = f"{type(error).__name__}: {error}"
        finally:
            iterator.close()

    def cancel(self) -> bool:
        """Stop: worker processes end at once, a fit in this process first comes to its end. Finished fits are kept.

        Returns
        -------
        bool
            False if it had ended already.
        """
        if not self.running:
            return False
        self._cancelled = True
        if isinstance(self.source, PhotometryIterator):
            self.source.close()
            if self._thread is not None:
                self._thread.join(1.0)  # so that whoever stops it sees the end, unless a fit in this process takes longer
        elif isinstance(self.source, BatchHandle):
            self.source.cancel()
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most `timeout` seconds; returns whether it has come."""
        if self._thread is not None:
            self._thread.join(timeout)
        elif isinstance(self.source, BatchHandle) and not self.source.done():
            try:
                self.source.result(timeout)
            except (NbmosaicError, TimeoutError):
                return self.source.done()
        return not self.running

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        if isinstance(self.source, PhotometryIterator):
            return self._thread is not None and self._thread.is_alive()
        return isinstance(self.source, BatchHandle) and not self.source.done()

    @property
    def own(self) -> bool:
        """Whether the thread of this watch runs it, so that it ends with its panel."""
        return isinstance(self.source, PhotometryIterator)

    @property
    def state(self) -> BatchState:
        """How far it is now."""
        running, batch, error = self.running, self.batch, self._error
        if isinstance(self.source, BatchHandle) and not running:
            error = self._outcome(self.source)[1]
        total = max(batch.total, len(batch))
        cancelled = self._cancelled and not running and len(batch) < total
        if running and isinstance(self.source, PhotometryIterator):
            self._progress.done = len(batch)
            line = ("stopping: " if self._cancelled else "") + self._progress.line
        elif running:
            line = str(getattr(self.source, "status", "running"))
        else:
            line = f"{'stopped: ' if cancelled else ''}{batch.title}"
        return BatchState(batch=batch, running=running, cancelled=cancelled, line=line, error="" if self._cancelled else error)

    @property
    def batch(self) -> PhotometryBatch:
        """The results so far."""
        source = self.source
        if isinstance(source, PhotometryBatch):
            return source
        if isinstance(source, PhotometryIterator):
            return source.batch
        if source.done():
            found = self._outcome(source)[0]
            if isinstance(found, PhotometryBatch):
                return found
        seen = getattr(source, "watched", None)
        return seen.batch if isinstance(seen, PhotometryIterator) else PhotometryBatch(())

    @staticmethod
    def _outcome(handle: BatchHandle) -> tuple[Any, str]:
        """Result of a handle that is done, and why there is none."""
        try:
            found = handle.result(0)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - it is shown
            return None, str(error) or type(error).__name__
        return found, "" if isinstance(found, PhotometryBatch) else f"{type(found).__name__} is no batch of fits"

    def labels(self) -> tuple[tuple[str, int], ...]:
        """A label and the number of every result, for lists."""
        return tuple((f"{number + 1}: {_label(result)}", number) for number, result in enumerate(self.batch))

    def table_html(self, limit: int = 20) -> str:
        """The last results as a table, and the reasons of all failures."""
        from nbmosaic.pipeline.quicklook import shown_table
        from nbmosaic.views.html import details_html, fragment, frame_html
        from nbmosaic.views.markup import Markup, escape

        batch = self.batch
        if not len(batch):
            return ""
        failed = Markup("".join(f"<li>{escape(failure.title)}</li>" for failure in batch.failures))
        reasons = details_html(f"{len(batch.failures)} failed", Markup(f"<ul>{failed}</ul>"), open_=True) if failed else None
        shown, _ = shown_table(replace(batch, results=batch.results[-limit:]), limit)
        title = f"the last {limit} of {len(batch)}" if len(batch) > limit else "results"
        return str(fragment(reasons, frame_html(shown, limit=None, title=title, units=batch.column_units)))

    def result_html(self, number: int) -> str:
        """Numbers and notes of one file, or why it failed.

        Parameters
        ----------
        number : int
            Of the results so far.
        """
        from nbmosaic.pipeline.quicklook import product_html
        from nbmosaic.views.html import note_html

        result = self.batch[number]
        notes = () if isinstance(result, FailedPhotometry | ImageAndStarPhotometry) else result.notes
        return product_html(result, *map(note_html, notes))

    def quick_picture(self) -> Picture:
        """FWHM against file, drawn in milliseconds and in any thread."""
        from nbmosaic.pipeline.photometry.html import batch_series
        from nbmosaic.pipeline.quicklook import Picture
        from nbmosaic.views.quick_psf import quick_fwhm_by_file

        return Picture(*quick_fwhm_by_file(*batch_series(self.batch)))

    def picture(self) -> Picture:
        """FWHM against file, as a figure."""
        from nbmosaic.pipeline.photometry.html import draw_batch, remembered_picture
        from nbmosaic.pipeline.quicklook import Picture

        batch = self.batch
        return Picture(*remembered_picture(batch, lambda: draw_batch(batch)))


def _label(result: Any) -> str:
    if isinstance(result, FailedPhotometry):
        return f"{result.name}: failed"
    fit: Photometry = result.image if isinstance(result, ImageAndStarPhotometry) else result
    flags = f", {', '.join(fit.flags)} flagged" if fit.flags else ""
    return f"{fit.name}: fwhm {fit.fwhm.value:.4f} arcsec{flags}"


def watch_batch(source: PhotometryIterator | PhotometryBatch | BatchHandle) -> BatchWatch:
    """Watch a batch, and let it run if it is an iterator.

    Parameters
    ----------
    source : PhotometryIterator, PhotometryBatch or BatchHandle
        The batch.

    Returns
    -------
    BatchWatch
    """
    watch = BatchWatch(source)
    watch.start()
    return watch
