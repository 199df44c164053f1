"""Which panel suits what."""

from __future__ import annotations

from typing import Any

from nbmosaic.errors import ConfigError
from nbmosaic.notebook.panels.base import Panel
from nbmosaic.pipeline.recipe import choose
from nbmosaic.pipeline.run import Run
from nbmosaic.pipeline.steering import Steering, steer

__all__ = ["open_panel"]


def open_panel(product: Any, *, kind: str | None = None) -> Panel:
    """Open a panel on a run or on a product.

    Parameters
    ----------
    product : Run, Steering
        What to look at.
    kind : {"overlaps", "background"}, optional
        Which panel; default: the one that suits best.

    Returns
    -------
    Panel
        Shows itself in a notebook; `Panel.value` is what it stands for, `Panel.close` ends it.

    Raises
    ------
    ConfigError
        There is no such panel for this.
    """
    kinds = _kinds(product)
    if not kinds:
        raise ConfigError(f"there is no panel for {type(product).__name__}", hint="open one on a run: %mosaic panel NAME")
    return _opened(product, next(iter(kinds)) if kind is None else choose(kind, kinds, option="kind"))


def _kinds(product: Any) -> tuple[str, ...]:
    return ("overlaps", "background") if isinstance(product, Run | Steering) else ()


def _opened(product: Any, kind: str) -> Panel:
    steering = product if isinstance(product, Steering) else steer(product)
    if kind == "overlaps":
        from nbmosaic.notebook.panels.overlaps import OverlapsPanel

        return OverlapsPanel(steering)
    from nbmosaic.notebook.panels.background import BackgroundPanel

    return BackgroundPanel(steering)
