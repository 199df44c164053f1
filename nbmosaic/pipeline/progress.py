"""Progress as one line of text, and the state behind it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

__all__ = ["ProgressState", "TextProgress", "memory_used"]

INTERVAL = 0.1
"""Seconds between two updates: more would only load the front end."""

ETA_AFTER = 0.3
"""Seconds before the time left is shown: earlier it is a guess from one or two units."""


def memory_used() -> int | None:
    """Bytes of memory that this process holds now, where the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - read ten times a second: no path object needed
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


class ProgressState:
    """Counts the units of the running stage; safe to tell from several threads.

    Parameters
    ----------
    clock : callable
        Seconds, for tests.
    memory : callable
        Bytes held, for tests.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, memory: Callable[[], int | None] = memory_used) -> None:
        self.clock = clock
        self.memory = memory
        self.stage = ""
        self.done = 0
        self.total = 0
        self.began = clock()
        self.lock = threading.RLock()
        self._shown = -INTERVAL

    def begin(self, stage: str, total: int) -> None:
        """Begin a stage with `total` units."""
        self.stage, self.done, self.total = stage, 0, total
        self.began = self.clock()
        self._shown = self.began - INTERVAL

    def due(self) -> bool:
        """Whether it is time to draw again."""
        now = self.clock()
        if now - self._shown < INTERVAL:
            return False
        self._shown = now
        return True

    @property
    def line(self) -> str:
        """``project 12/16 · 3.1 s left · 410 MB``."""
        parts = [f"{self.stage} {self.done}/{self.total}" if self.total > 0 else self.stage]
        seconds = self.clock() - self.began
        if 0 < self.done < self.total and seconds > ETA_AFTER:
            parts.append(f"{_duration(seconds / self.done * (self.total - self.done))} left")
        used = self.memory()
        if used is not None:
            parts.append(f"{used / 1e6:.0f} MB")
        return " · ".join(parts)

    def summary(self, text: str) -> str:
        """Last line of a stage."""
        return f"{self.stage} · {text}" if text else f"{self.stage} {self.done}/{self.total} in {_duration(self.clock() - self.began)}"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class TextProgress:
    """One line of a terminal that is written over and over; nothing where the stream is no terminal.

    Parameters
    ----------
    stream : file, optional
        Where to write (default: standard error).
    live : bool, optional
        Write although it is no terminal (a notebook's stream knows the carriage return), or do not although it is one.
    state : ProgressState, optional
        Counter, for tests.
    """

    def __init__(self, stream: IO[str] | None = None, *, live: bool | None = None, state: ProgressState | None = None) -> None:
        self.stream = sys.stderr if stream is None else stream
        self.live = bool(self.stream.isatty()) if live is None else live
        self.state = ProgressState() if state is None else state
        self._width = 0

    def start(self, stage: str, total: int) -> None:
        """Begin a stage with `total` units."""
        with self.state.lock:
            self.state.begin(stage, total)
            if self.state.due():
                self._write(self.state.line)

    def advance(self, n: int = 1) -> None:
        """Count `n` more units."""
        with self.state.lock:
            self.state.done += n
            if self.state.due():
                self._write(self.state.line)

    def finish(self, summary: str) -> None:
        """End the stage."""
        with self.state.lock:
            self._write(self.state.summary(summary))

    def close(self, summary: str = "") -> None:
        """Leave the line: clear it, or end it with a summary of everything."""
        with self.state.lock:
            if self.live and (self._width or summary):
                self._write(summary)
                self.stream.write("\n" if summary else "\r")
                self.stream.flush()
            self._width = 0

    def _write(self, text: str) -> None:
        if self.live:
            self.stream.write("\r" + text.ljust(self._width))
            self.stream.flush()
            self._width = len(text)
