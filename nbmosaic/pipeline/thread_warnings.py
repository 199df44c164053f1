"""Warnings of a run that goes on in a thread of its own.

`warnings.catch_warnings` changes the whole process: when two of its blocks overlap in time, as those of a detached run and of a cell may, the one
that ends last brings back the dead list of the other, and every later warning of the session is lost. A run in another thread therefore
leaves one hook in place that hands each warning to the thread it came from.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nbmosaic.errors import NbmosaicWarning

__all__ = ["recorded"]


class _Dispatch:
    """Shows warnings as before, but keeps those of some threads."""

    def __init__(self, before: Callable[..., None]) -> None:
        self.before = before
        self.kept: dict[int, list[warnings.WarningMessage]] = {}

    def __call__(
        self, message: Any, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        own = self.kept.get(threading.get_ident())
        if own is None:
            self.before(message, category, filename, lineno, file, line)
        else:
            own.append(warnings.WarningMessage(message, category, filename, lineno, file, line))


@contextmanager
def recorded() -> Iterator[list[warnings.WarningMessage]]:
    """Keep the warnings of this thread, all of them, also those given before."""
    if threading.current_thread() is threading.main_thread():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
        return
    hook = warnings.showwarning
    if not isinstance(hook, _Dispatch):
        hook = _Dispatch(hook)
        warnings.showwarning = hook
        warnings.filterwarnings("always", category=NbmosaicWarning)
    kept: list[warnings.WarningMessage] = []
    hook.kept[threading.get_ident()] = kept
    try:
        yield kept
    finally:
        hook.kept.pop(threading.get_ident(), None)
