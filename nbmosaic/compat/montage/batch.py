"""Batches of the Montage face: members that fail are counted and named, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.status import Answer
from nbmosaic.errors import NoOverlapError
from nbmosaic.io.headers import plain_text
from nbmosaic.io.output import replacing

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Batch", "read_rows", "write_text"]

_NAMED = 3  # failures named in a message; the table has all of them


class Batch:
    """What failed, and why."""

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.notes: list[tuple[str, str]] = []

    @contextmanager
    def member(self, name: str) -> Iterator[None]:
        """Run the work of one member; whatever it raises is noted. `NoOverlapError` goes through: whether that is a failure depends on the batch."""
        try:
            yield
        except NoOverlapError:
            raise
        except Exception as error:  # noqa: BLE001 - one member must not stop the batch; the reason is kept
            self.failed += 1
            self.note(name, str(error) or type(error).__name__)
        else:
            self.done += 1

    def note(self, name: str, reason: str) -> None:
        """Keep why a member is missing."""
        self.notes.append((plain_text(name), plain_text(reason)))

    def joined(self, other: Batch) -> Batch:
        """Both batches; done is what the second one did."""
        both = Batch()
        both.done, both.failed = other.done, self.failed + other.failed
        both.notes = [*self.notes, *other.notes]
        return both

    def comments(self) -> list[str]:
        """Comment lines for the head of an IPAC table."""
        return [f"\\ failed: {name}: {reason}" for name, reason in self.notes]

    def answer(self, **counts: Any) -> Answer:
        """Answer with counts; ``msg`` where something failed, ``status`` '1' where nothing was done."""
        if not self.notes:
            return counts
        named = "; ".join(f"{name}: {reason}" for name, reason in self.notes[:_NAMED])
        more = f"; and {len(self.notes) - _NAMED} more" if len(self.notes) > _NAMED else ""
        text = f"{len(self.notes)} of {len(self.notes) + self.done} failed: {named}{more}"
        return {"status": "0" if self.done else "1", **counts, "msg": text.encode()}


def read_rows(table: DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries, numbers that name files as text."""
    named = {"plus", "minus", "diff", "fname"}
    values = [[str(v) if c in named else v for v in table[c].tolist()] for c in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def write_text(path: str, text: str) -> None:
    """Write a table in one piece."""
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="ascii", newline="\n")
