"""Batches of the Montage face: members that fail are counted and named, and the others go on.

The status of a batch is '1' where a member failed, whatever became of the others: Montage answers '0' and leaves the failure in a count, so that scripts run
on with frames missing. Pairs that turn out to have no usable overlap (no common valid pixels, too few for a plane) are no failure of anything: they are
counted as Montage counts them, named in ``msg`` and in the table, and the status stays '0' as long as any other pair was done.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from nbmosaic.compat.montage.status import Answer
from nbmosaic.errors import InputError, NoOverlapError
from nbmosaic.io.headers import plain_text
from nbmosaic.io.output import replacing

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["Batch", "UnusableError", "read_rows", "write_text"]

_NAMED = 3  # failures named in a message; the table has all of them


class UnusableError(InputError):
    """A pair of images without a usable overlap: left out of a batch without being a fault."""


class Batch:
    """What was done, what failed, and why.

    Attributes
    ----------
    done : int
        Members that were done.
    failed : int
        Members that were not, as Montage counts them: faults, and pairs without usable overlap.
    faults, unusable : list of tuple
        Name and reason of members that failed, and of pairs that have no usable overlap.
    """

    def __init__(self) -> None:
        self.done = 0
        self.failed = 0
        self.faults: list[tuple[str, str]] = []
        self.unusable: list[tuple[str, str]] = []

    @contextmanager
    def member(self, name: str) -> Iterator[None]:
        """Run the work of one member; whatever it raises is noted. `NoOverlapError` goes through: whether that is a failure depends on the batch."""
        try:
            yield
        except NoOverlapError:
            raise
        except UnusableError as error:
            self.failed += 1
            self.leave_out(name, str(error))
        except Exception as error:  # noqa: BLE001 - one member must not stop the batch; the reason is kept
            self.failed += 1
            self.faults.append((plain_text(name), plain_text(str(error) or type(error).__name__)))
        else:
            self.done += 1

    def leave_out(self, name: str, reason: str) -> None:
        """Keep why a pair is not used."""
        self.unusable.append((plain_text(name), plain_text(reason)))

    def reason(self, name: str) -> str:
        """Why the last member failed, if it is the one of that name; else nothing."""
        return self.faults[-1][1] if self.faults and self.faults[-1][0] == plain_text(name) else ""

    def joined(self, other: Batch) -> Batch:
        """Both batches; done is what the second one did."""
        both = Batch()
        both.done, both.failed = other.done, self.failed + other.failed
        both.faults, both.unusable = [*self.faults, *other.faults], [*self.unusable, *other.unusable]
        return both

    def comments(self) -> list[str]:
        """Comment lines for the head of an IPAC table."""
        failed = [f"\\ failed: {name}: {reason}" for name, reason in self.faults]
        return failed + [f"\\ no usable overlap: {name}: {reason}" for name, reason in self.unusable]

    def answer(self, **counts: Any) -> Answer:
        """Answer with counts: ``msg`` names what is missing; ``status`` '1' where a member failed, or nothing was done of what was asked for."""
        total = len(self.faults) + len(self.unusable) + self.done
        texts = [_named(self.faults, total, "failed"), _named(self.unusable, total, "have no usable overlap")]
        text = "; ".join(filter(None, texts))
        if not text:
            return counts
        return {"status": "1" if self.faults or not self.done else "0", **counts, "msg": text.encode()}


def _named(members: Sequence[tuple[str, str]], total: int, what: str) -> str:
    """How many members, and the first of them by name."""
    if not members:
        return ""
    named = "; ".join(f"{name}: {reason}" for name, reason in members[:_NAMED])
    more = f"; and {len(members) - _NAMED} more" if len(members) > _NAMED else ""
    return f"{len(members)} of {total} {what}: {named}{more}"


def read_rows(table: DataFrame, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a table as dictionaries, numbers that name files as text."""
    named = {"plus", "minus", "diff", "fname"}
    values = [[str(v) if c in named else v for v in table[c].tolist()] for c in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def write_text(path: str, text: str) -> None:
    """Write a table in one piece."""
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="ascii", newline="\n")
