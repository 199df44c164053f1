"""Exceptions and warnings of nbmosaic.

Policy, in order of preference:

* The caller can mend it (a wrong option, shape, unit, name): :class:`InputError` or a subclass. These are also ``ValueError``.
* A file is not what it should be: :class:`FormatError` or a subclass. These are also ``OSError``.
* The input is fine but no result exists (no overlap, singular system): :class:`AlgorithmError` or a subclass. Running again will not help.
* A step failed for one frame or pair, perhaps in another process: :class:`StepError`, raised ``from`` its cause.
* An optional package is missing: :class:`MissingDependencyError`.

Trouble with one item of a batch is a flag in a table and a warning, not an exception. Every message is one line: what, where, what to do next.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "AlgorithmError",
    "CellError",
    "ConfigError",
    "DisconnectedMosaicWarning",
    "EmptyMosaicError",
    "FormatError",
    "HeaderTemplateError",
    "InputError",
    "MissingDependencyError",
    "MosaicCancelled",
    "NbmosaicError",
    "NbmosaicWarning",
    "NoOverlapError",
    "PrecisionWarning",
    "ShapeError",
    "SingularFitError",
    "SkippedFrameWarning",
    "StepError",
    "TableFormatError",
    "UnitMismatchWarning",
    "WcsError",
]


class NbmosaicError(Exception):
    """Base of every exception that nbmosaic raises.

    Parameters
    ----------
    message : str
        What went wrong and where, in one line.
    hint : str, optional
        What to do next; shown on its own line in a notebook.
    **context
        Plain scalars that describe the case (file name, HDU, row, ...); kept in `context`.
    """

    def __init__(self, message: str, *, hint: str | None = None, **context: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.context = context

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.message, self.hint, self.context))

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


def _rebuild(cls: type[NbmosaicError], message: str, hint: str | None, context: dict[str, Any]) -> NbmosaicError:
    """Rebuild an exception that crossed a process boundary."""
    return cls(message, hint=hint, **context)


class InputError(NbmosaicError, ValueError):
    """Something the caller passed cannot be used."""


class ShapeError(InputError):
    """Arrays whose shapes should agree do not."""


class WcsError(InputError):
    """A world coordinate system is not celestial, not invertible, or does not see what it should."""


class ConfigError(InputError):
    """An unknown option, or a value that the option does not take."""


class CellError(ConfigError):
    """A mistake in the text of a cell.

    ``context`` holds ``line`` (number in the cell), ``text`` (that line) and ``column`` (0-based), from which the caret is drawn.
    """


class FormatError(NbmosaicError, OSError):
    """A file is missing, unreadable, unwritable, or not what it should be."""

    def __str__(self) -> str:  # OSError would format its own arguments
        return NbmosaicError.__str__(self)


class HeaderTemplateError(FormatError):
    """A header template that cannot be read; ``context`` holds ``path`` and ``line``."""


class TableFormatError(FormatError):
    """A table that cannot be read; ``context`` holds ``path`` and ``line``."""


class AlgorithmError(NbmosaicError):
    """The input is valid but has no result; repeating will not help."""


class NoOverlapError(AlgorithmError):
    """No two frames share enough valid pixels."""


class SingularFitError(AlgorithmError):
    """A fit has fewer independent points than parameters."""


class EmptyMosaicError(AlgorithmError):
    """No frame puts a valid pixel on the mosaic."""


class StepError(NbmosaicError):
    """A step failed for one frame or pair; ``context`` holds ``step`` and ``frame``."""


class MosaicCancelled(NbmosaicError):  # noqa: N818 - a cancellation is not an error, and its name is shown to users
    """The run was stopped by the user; finished work is kept."""


class MissingDependencyError(NbmosaicError, ImportError):
    """An optional package is needed; the hint says how to install it."""


class NbmosaicWarning(UserWarning):
    """Base of every warning that nbmosaic gives."""


class DisconnectedMosaicWarning(NbmosaicWarning):
    """The overlaps fall into groups that share no pixel, so their levels cannot be tied together."""


class PrecisionWarning(NbmosaicWarning):
    """A number is less precise than asked for."""


class SkippedFrameWarning(NbmosaicWarning):
    """A frame or a pair was left out; the message names it and says why."""


class UnitMismatchWarning(NbmosaicWarning):
    """Frames differ in unit or in exposure scale."""
