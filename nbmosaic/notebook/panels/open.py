"""Which panel suits what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbmosaic.errors import ConfigError
from nbmosaic.notebook.detached import DetachedRun
from nbmosaic.notebook.panels.base import Panel
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.frame_choice import FrameChoice, choose_frames
from nbmosaic.pipeline.photometry.batch import PhotometryIterator
from nbmosaic.pipeline.photometry.batch_product import PhotometryBatch
from nbmosaic.pipeline.photometry.products import ImageAndStarPhotometry, Photometry
from nbmosaic.pipeline.photometry.watch import watch_batch
from nbmosaic.pipeline.products import Corrected, Frames, Mosaic, Overlaps, Projected
from nbmosaic.pipeline.psf_trial.open import try_psf
from nbmosaic.pipeline.psf_trial.trial import PsfTrial
from nbmosaic.pipeline.recipe import choose
from nbmosaic.pipeline.run import Run
from nbmosaic.pipeline.steering import Steering, steer
from nbmosaic.pipeline.viewing.viewer import View, open_view

__all__ = ["open_panel"]


def open_panel(product: Any, *, kind: str | None = None) -> Panel:
    """Open a panel on a run or on a product.

    Parameters
    ----------
    product : Run, Steering, Frames, FrameChoice, Projected, Corrected, Mosaic, MosaicExposure, View
        What to look at. Also arrays on one grid, or a mapping of names to images, see `nbmosaic.pipeline.viewing.viewer.open_view`; photometric fits, or
        reference and image as a pair with ``kind="psf"``; batches of fits: an iterator, which the panel then runs, or the handle of a cell.
    kind : {"overlaps", "background", "frames", "viewer", "psf", "batch"}, optional
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
    return kinds[next(iter(kinds)) if kind is None else choose(kind, kinds, option="kind")]()


def _kinds(product: Any) -> dict[str, Callable[[], Panel]]:
    """Panels that there are for a product, the one that suits it best first."""
    if isinstance(product, Steering):
        return {"overlaps": lambda: _overlaps(product), "background": lambda: _background(product)}
    if isinstance(product, Frames | FrameChoice):
        return {"frames": lambda: _frames(product if isinstance(product, FrameChoice) else choose_frames(product))}
    if isinstance(product, Run):
        return _kinds_of_run(product)
    if isinstance(product, DetachedRun):
        running = not product.done()
        return {"batch": lambda: _batch(product)} if running or product.watched is not None else _kinds(product.result())
    if isinstance(product, PhotometryIterator | PhotometryBatch):
        return {"batch": lambda: _batch(product)}
    if isinstance(product, PsfTrial | Photometry | ImageAndStarPhotometry):
        return {"psf": lambda: _psf(product if isinstance(product, PsfTrial) else try_psf(product))}
    if isinstance(product, View | Mosaic | MosaicExposure | Projected | Corrected | Mapping) or _is_images(product):
        kinds: dict[str, Callable[[], Panel]] = {"viewer": lambda: _viewer(product)}
        return kinds | ({"psf": lambda: _psf(try_psf(*product))} if isinstance(product, tuple) and len(product) == 2 else {})
    if isinstance(product, tuple) and len(product) == 2:
        return {"psf": lambda: _psf(try_psf(*product))}
    return {}


def _kinds_of_run(run: Run) -> dict[str, Callable[[], Panel]]:
    """Panels for what a run has made."""
    kinds: dict[str, Callable[[], Panel]] = {}
    if run.latest((Overlaps,)) is not None:
        kinds = {"overlaps": lambda: _overlaps(steer(run)), "background": lambda: _background(steer(run))}
    if run.latest((Mosaic, Projected, Corrected)) is not None:
        kinds["viewer"] = lambda: _viewer(run)
    if run.latest((Frames,)) is not None:
        kinds["frames"] = lambda: _frames(choose_frames(_frames_of(run)))
    return kinds


def _is_images(product: Any) -> bool:
    """Whether it is an array of two axes, or a list of such arrays or of mosaics."""
    if isinstance(product, list | tuple):
        return bool(product) and all(isinstance(item, Mosaic | MosaicExposure) or _is_images(item) for item in product)
    return getattr(product, "ndim", 0) == 2 and hasattr(product, "dtype")


def _frames_of(run: Run) -> Frames:
    found = run.latest((Frames,))
    if not isinstance(found, Frames):
        raise ConfigError(f"{run.name} has no frames", hint="add a line `images` to the cell")
    return found


def _overlaps(steering: Steering) -> Panel:
    from nbmosaic.notebook.panels.overlaps import OverlapsPanel

    return OverlapsPanel(steering)


def _background(steering: Steering) -> Panel:
    from nbmosaic.notebook.panels.background import BackgroundPanel

    return BackgroundPanel(steering)


def _frames(choice: FrameChoice) -> Panel:
    from nbmosaic.notebook.panels.frames import FramesPanel

    return FramesPanel(choice)


def _psf(trial: PsfTrial) -> Panel:
    from nbmosaic.notebook.panels.psf import PsfPanel

    return PsfPanel(trial)


def _batch(source: PhotometryIterator | PhotometryBatch | DetachedRun) -> Panel:
    from nbmosaic.notebook.panels.batch import BatchPanel

    return BatchPanel(watch_batch(source))


def _viewer(product: Any) -> Panel:
    from nbmosaic.notebook.panels.viewer import ViewerPanel

    return ViewerPanel(open_view(product))
