"""An IPython shell in the process of the test, without history file and terminal."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import ExecutionResult, InteractiveShell
from traitlets.config import Config

__all__ = ["CellResult", "new_shell"]


class CellResult:
    """What a cell did."""

    def __init__(self, result: ExecutionResult) -> None:
        self.result = result

    @property
    def value(self) -> Any:
        """Last value of the cell."""
        return self.result.result

    def raise_error(self) -> CellResult:
        """Raise the cell's error here, if it had one."""
        for error in (self.result.error_before_exec, self.result.error_in_exec):
            if error is not None:
                raise error
        return self


class TestingShell(InteractiveShell):
    """A shell that answers cells with `CellResult`."""

    __test__ = False

    def run_cell(self, raw_cell: str, *args: Any, **kwargs: Any) -> CellResult:  # type: ignore[override]
        """Run a cell."""
        return CellResult(super().run_cell(raw_cell, *args, **kwargs))


@contextmanager
def new_shell() -> Iterator[TestingShell]:
    """A fresh shell, known to `get_ipython` while it is open."""
    main = sys.modules["__main__"]  # a shell takes its place, and worker processes of later tests look at it
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    TestingShell.clear_instance()
    shell = TestingShell.instance(config=config)
    try:
        yield shell
    finally:
        # the values go, but without the full garbage collection of `flush`: 0.3 s in a process that has everything imported
        shell.displayhook._ = shell.displayhook.__ = shell.displayhook.___ = ""
        shell.displayhook.do_full_cache = False
        shell.atexit_operations()
        atexit.unregister(shell.atexit_operations)
        sys.modules["__main__"] = main
        TestingShell.clear_instance()
