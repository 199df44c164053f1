"""imphot's exceptions, and its words for what ours say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from nbmosaic.errors import InputError, MissingDependencyError, MosaicCancelled, NbmosaicError, StepError

__all__ = ["UserError", "WorkerError", "as_user_error", "imphot_errors"]


class UserError(InputError):
    """What the user gave cannot be used.

    Parameters
    ----------
    message : str
        What is wrong, in imphot's words where it has them.
    hint : str, optional
        Details, and what to do. It is no part of ``str(error)``, which is what imphot's is.
    **context
        See `nbmosaic.errors.NbmosaicError`.
    """

    def __str__(self) -> str:
        return self.message


class WorkerError(StepError):
    """A worker process failed for a reason that is no mistake of the user.

    Parameters
    ----------
    message : str
        What went wrong.
    traceback : list of str
        Lines of the worker's traceback; kept in `traceback`, and shown after the message as imphot does.
    hint : str, optional
        What to do next.
    **context
        See `nbmosaic.errors.NbmosaicError`.
    """

    def __init__(self, message: str, traceback: Iterable[str] = (), *, hint: str | None = None, **context: Any) -> None:
        lines = (traceback,) if isinstance(traceback, str) else tuple(traceback)
        super().__init__(message, hint=hint, traceback=lines, **context)
        self.traceback = list(lines)

    def __str__(self) -> str:
        return "\n".join([self.message, *(line.rstrip("\n") for line in self.traceback)])


_ALIGNED = "The pixels of the {} images are not aligned."
_TEXTS = (
    (_ALIGNED.format("HST and MUSE"), _ALIGNED.format("HST and MUSE")),
    (_ALIGNED.format("MUSE and extramask"), _ALIGNED.format("MUSE and extramask")),
    ("The extra-mask has the wrong dimensions", "The extra-mask has the wrong dimensions"),
    ("The star argument should be a tuple", "The star argument should be a tuple of (ra,dec,radius)"),
    ("the star is not three numbers", "The star argument should be a tuple of (ra,dec,radius)"),
    ("the radius of the star is", "The radius given to the star argument must be > 0"),
    ("the initial offsets", "The initial pointing offsets are larger than the image"),
    ("The specified star position is not within the image.", "The specified star position is not within the image."),
    ("Missing FILTER keyword in HST image header", "Missing FILTER keyword in HST image header"),
    (
        "The wavelengths and sensitivities arguments should be 1D arrays of equal length",
        "The wavelengths and sensititivies arguments should be 1D arrays of equal length",  # as imphot spells it
    ),
    (
        "The filter curve does not overlap the wavelength coverage of the cube.",
        "The filter curve does not overlap the wavelength coverage of the cube.",
    ),
)
"""Beginning of our message, and imphot's text."""


def as_user_error(error: NbmosaicError) -> UserError:
    """Turn one of our errors into a `UserError`, in imphot's words where it has them; the rest of the message becomes part of the hint.

    Parameters
    ----------
    error : NbmosaicError
        The error.

    Returns
    -------
    UserError

    Examples
    --------
    >>> as_user_error(InputError("the radius of the star is 0 arcsec"))
    UserError('The radius given to the star argument must be > 0')
    """
    if error.message.startswith("Unrecognized filter (") and not error.message.endswith("header"):
        return UserError(f"{error.message} in HST image header", hint=error.hint, **error.context)
    for beginning, text in _TEXTS:
        if error.message.startswith(beginning):
            detail = error.message.removeprefix(text).strip(" :,") if error.message.startswith(text) else error.message
            hint = "; ".join(part for part in (detail, error.hint) if part)
            return UserError(text, hint=hint or None, **error.context)
    return UserError(error.message, hint=error.hint, **error.context)


@contextmanager
def imphot_errors(text: str = "") -> Iterator[None]:
    """Raise what goes wrong inside as `UserError`.

    Parameters
    ----------
    text : str
        Frame of the message, with ``{}`` where the reason goes: ``"Error reading HST file ({})"``.
    """
    try:
        yield
    except (UserError, WorkerError, MosaicCancelled, MissingDependencyError):
        raise
    except NbmosaicError as error:
        found = as_user_error(error)
        raise UserError(text.format(found.message), hint=found.hint, **found.context) if text else found from error
