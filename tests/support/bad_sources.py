"""Frames that misbehave when they are loaded; importable by worker processes."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from typing import Any

from nbmosaic.pipeline.products import Frames

__all__ = ["FailingSource", "KillingSource", "KillingStore", "StoppingSource", "UnpicklableError", "with_source"]


class UnpicklableError(Exception):
    """An exception that cannot be rebuilt from its arguments, as those of many libraries."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} of {second} blocks are bad")


@dataclass(frozen=True)
class KillingSource:
    """Kills the process that loads it, as the system does when memory runs out; never the one that made it."""

    owner: int

    def load(self, out: Any = None) -> Any:
        if os.getpid() == self.owner:
            raise AssertionError("loaded in the process of the test")
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class FailingSource:
    """Raises an exception of nobody we know."""

    def load(self, out: Any = None) -> Any:
        raise UnpicklableError(3, 7)


@dataclass(frozen=True)
class StoppingSource:
    """The user presses stop while this frame is loaded."""

    def load(self, out: Any = None) -> Any:
        raise KeyboardInterrupt


class KillingStore:
    """A store of projected frames that kills the process which reads one of them."""

    def __init__(self, store: Any, index: int) -> None:
        self.store, self.index, self.owner = store, index, os.getpid()
        self.folder, self.share = store.folder, store.share

    def __reduce__(self) -> Any:
        return (_killing_store, (self.store, self.index, self.owner))

    def read(self, index: int, plane: str, box: Any) -> Any:
        if index == self.index and os.getpid() != self.owner:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.store.read(index, plane, box)


def _killing_store(store: Any, index: int, owner: int) -> KillingStore:
    copy = KillingStore(store, index)
    copy.owner = owner
    return copy


def with_source(frames: Frames, index: int, source: Any) -> Frames:
    """The frames, one of them with another source."""
    infos = list(frames.infos)
    infos[index] = replace(infos[index], source=source)
    return Frames(tuple(infos))
