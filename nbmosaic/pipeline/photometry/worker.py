"""One fit of a batch, in whatever process it runs: nothing is imported here before a task asks for it, so that workers start quickly."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nbmosaic.errors import NbmosaicError, StepError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbmosaic.types.sky_image import SkyImage

__all__ = ["BatchKind", "BatchTask", "Outcome", "fit_one"]

BatchKind = Literal["image", "star", "both"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BatchTask:
    """What a worker is to do.

    Attributes
    ----------
    kind : {"image", "star", "both"}
        Which fit.
    reference, image : str or SkyImage
        File names, or images.
    options : mapping
        Options of the fit.
    name : str
        Name of the image, for messages.
    slim : bool
        Leave out the arrays for pictures: 3 MB a fit of 320 x 320 pixels, which would be sent back and kept.
    """

    kind: BatchKind
    reference: Any
    image: Any
    options: Mapping[str, Any]
    name: str
    slim: bool = True


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Outcome:
    """What came of it: a fit, or an error; and how long it took."""

    fit: Any = None
    error: NbmosaicError | None = None
    seconds: float = 0.0


def fit_one(task: BatchTask) -> Outcome:
    """Do one fit; whatever goes wrong with it is an error of that image, one of our exceptions with the traceback in its context."""
    begun = time.perf_counter()
    try:
        fit = _without_arrays(_fit(task)) if task.slim else _fit(task)
        return Outcome(fit=fit, seconds=time.perf_counter() - begun)
    except NbmosaicError as error:
        found, trace = error, traceback.format_exc()
    except Exception as error:  # noqa: BLE001 - others may not survive the way between processes
        text = " ".join(f"{type(error).__name__}: {error}".split())
        found, trace = (
            StepError(f"the fit of {task.name} failed: {text}", step="fit", frame=task.name),
            traceback.format_exc(),
        )
    found.context.setdefault("frame", task.name)
    found.context["traceback"] = trace
    found.__traceback__ = found.__cause__ = found.__context__ = None  # frames hold the images
    return Outcome(error=found, seconds=time.perf_counter() - begun)


def _fit(task: BatchTask) -> Any:
    from nbmosaic.pipeline.photometry import fitting as photometry

    functions: dict[str, Any] = {
        "image": photometry.fit_image_photometry,
        "star": photometry.fit_star_photometry,
        "both": photometry.fit_image_and_star_photometry,
    }
    reference = task.reference
    if isinstance(reference, str):
        reference = _reference(reference, _state(reference))
    return functions[task.kind](reference, task.image, **task.options)


def _state(path: str) -> tuple[int, int]:
    """Size and time of a file, so that a worker reads it again when it has changed."""
    from nbmosaic.io.paths import split_hdu

    try:
        found = Path(split_hdu(path)[0]).stat()
    except OSError:
        return 0, 0  # reading it gives the message
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=1)
def _reference(path: str, state: tuple[int, int]) -> SkyImage:  # noqa: ARG001 - the state is part of the key
    """The reference, read once by each worker."""
    from nbmosaic.pipeline.photometry.inputs import read_image

    return read_image(path, role="reference")


def _without_arrays(fit: Any) -> Any:
    """A fit that is small: no arrays, no images."""
    from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, ImagePhotometry

    if isinstance(fit, tuple):
        return ImageAndStarPhotometry(_without_arrays(one) for one in fit)
    small = fit.without_pictures() if isinstance(fit, ImagePhotometry) else replace(fit, held=None)
    return replace(small, request=replace(small.request, reference=None, image=None))
