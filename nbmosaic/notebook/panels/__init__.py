"""Panels of ipywidgets, one for each way to look at a run; nothing heavy is imported until one is opened."""

from __future__ import annotations

from nbmosaic.notebook.panels.open import open_panel

__all__ = ["open_panel"]
