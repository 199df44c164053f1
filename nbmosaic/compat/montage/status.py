"""How functions of MontagePy answer: a dictionary with ``status`` and, on error, ``msg``; no exception leaves them."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec

from nbmosaic.errors import InputError, NbmosaicError

__all__ = ["Answer", "montage_call", "path_text"]

P = ParamSpec("P")
Answer = dict[str, Any]
"""``{'status': '0', ...}`` or ``{'status': '1', 'msg': b'...'}``."""


def path_text(value: Any, name: str) -> str:
    """File name from text, bytes or a ``Path``.

    Raises
    ------
    InputError
        It is none of these.
    """
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    raise InputError(f"{name} has to be a file name, not {type(value).__name__}")


def montage_call(function: Callable[P, Answer]) -> Callable[P, Answer]:
    """Make a function answer as MontagePy's do.

    The function returns the keys of its answer without ``status``; whatever it raises becomes ``{'status': '1', 'msg': b'...'}`` with one line that names the
    culprit. ``KeyboardInterrupt`` goes through. Warnings of nbmosaic stay silent: what they say is in the counts of the answer.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return {"status": "0", **function(*args, **kwargs)}
        except NbmosaicError as error:
            text = str(error)
        except Exception as error:  # noqa: BLE001 - Montage's functions answer, they do not raise
            text = f"{function.__name__}: {type(error).__name__}: {error}"
        return {"status": "1", "msg": " ".join(text.split()).encode()}

    return call
