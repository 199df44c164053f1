"""The numbers that tell whether a match is good, as panels show them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbmosaic.views.html import details_html, facts_html, fragment
from nbmosaic.views.numbers import number_text

if TYPE_CHECKING:
    from nbmosaic.pipeline.steering import Steering

__all__ = ["match_facts"]


def match_facts(steering: Steering) -> str:
    """Pairs used, differences before and after, groups, and the line of a cell that does the same.

    Parameters
    ----------
    steering : Steering
        The match.
    """
    facts = steering.facts

    def sizes(middle: float, top: float) -> str:
        # a line breaks after the comma only: a unit alone in a line belongs to nothing
        middle_text, top_text = f"median {number_text(middle, 3)},", f"largest {number_text(top, 3)} {facts.unit}".rstrip()
        return " ".join(text.replace(" ", "\N{NO-BREAK SPACE}") for text in (middle_text, top_text))

    rows = {
        "pairs used": f"{facts.n_used} of {facts.n_pairs}",
        "difference before": sizes(facts.before_median, facts.before_max),
        "after": sizes(facts.after_median, facts.after_max),
        "groups": facts.n_groups,
    }
    return str(fragment(facts_html(rows), details_html("as a line of a cell", steering.code())))
