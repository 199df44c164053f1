"""The fields and buttons of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbmosaic.pipeline.viewing.marks import GRIDS
from nbmosaic.pipeline.viewing.stretch import LIMITS, STRETCHES
from nbmosaic.pipeline.viewing.viewer import COLOUR_MAPS

if TYPE_CHECKING:
    import ipywidgets

    from nbmosaic.pipeline.viewing.viewer import View

__all__ = ["GRID_NAMES", "ViewerControls", "viewer_controls"]

GRID_NAMES = {"none": "none", "own system": "own"} | {name: name for name in GRIDS if name != "own"}
BLINK_MS = 700


@dataclass(frozen=True, kw_only=True)
class ViewerControls:
    """The widgets that hold a value, by what they change.

    Attributes
    ----------
    options : dict
        Name of an option of `View` to its widget.
    limits, x, y, place, regions, in_colour, channels, blink, play, file, overwrite
        What is no plain option.
    """

    options: dict[str, ipywidgets.Widget]
    limits: ipywidgets.Dropdown
    x: ipywidgets.BoundedIntText
    y: ipywidgets.BoundedIntText
    place: ipywidgets.Text
    regions: ipywidgets.Text
    in_colour: ipywidgets.Checkbox
    channels: tuple[ipywidgets.Dropdown, ...]
    blink: ipywidgets.SelectMultiple
    play: ipywidgets.Play
    file: ipywidgets.Text
    overwrite: ipywidgets.Checkbox


def viewer_controls(view: View) -> ViewerControls:
    """Make the widgets, with the values of a view.

    Parameters
    ----------
    view : View
        The view.
    """
    import ipywidgets

    ny, nx = view.grid.shape
    images = [(name, number) for number, name in enumerate(view.names)]
    has_sky = view.grid.wcs is not None
    options = {
        "shown": ipywidgets.Dropdown(options=images, **_named("image", "which image is shown")),
        "stretch": ipywidgets.Dropdown(options=STRETCHES, **_named("stretch", "how values between the limits become colours")),
        "low": _text("from", "lower limit: a number, 0.3%, -2s (sigmas about the median), min, zscale", "9em"),
        "high": _text("to", "upper limit: a number, 99.8%, 8s (sigmas about the median), max, zscale", "9em"),
        "bend": _text("bend", "of the asinh: where it turns logarithmic, as a limit", "9em"),
        "exponent": ipywidgets.BoundedFloatText(
            min=0.01, max=20.0, step=0.1, **_named("exponent", "of the power law: 0.5 is a square root", "9em")
        ),
        "colour_map": ipywidgets.Dropdown(options=COLOUR_MAPS, **_named("colours", "colour map")),
        "lines": ipywidgets.Dropdown(options=GRID_NAMES, disabled=not has_sky, **_named("grid", "coordinate grid")),
    }
    return ViewerControls(
        options=options,
        limits=ipywidgets.Dropdown(options=(*LIMITS, "mixed"), **_named("limits", "how the limits are given")),
        x=ipywidgets.BoundedIntText(min=0, max=nx - 1, **_named("x", "column of the cross-hair, from 0; arrow keys move it", "8em")),
        y=ipywidgets.BoundedIntText(min=0, max=ny - 1, **_named("y", "row of the cross-hair, from 0; arrow keys move it", "8em")),
        place=_text(
            "go to", "position on the sky: degrees or sexagesimal, perhaps with gal, b1950", "19em", "18:20:47 -16:10:19", off=not has_sky
        ),
        regions=_text("regions", "region file of DS9; empty: none", "19em", "stars.reg"),
        in_colour=ipywidgets.Checkbox(value=False, description="three colours", indent=False, tooltip="show three images in one"),
        channels=tuple(
            ipywidgets.Dropdown(options=images, value=min(number, len(images) - 1), **_named(colour, f"image that is shown in {colour}"))
            for number, colour in enumerate(("red", "green", "blue"))
        ),
        blink=ipywidgets.SelectMultiple(
            options=images,
            value=tuple(number for _, number in images[:2]),
            rows=min(5, len(images)),
            **_named("blink", "images that are shown in turn; Ctrl or Shift with click or arrow keys selects several"),
        ),
        play=ipywidgets.Play(min=0, max=1, step=1, interval=BLINK_MS, repeat=True, show_repeat=False, tooltip="blink"),
        file=_text("file", "name of the PNG file", "13em", "view.png"),
        overwrite=ipywidgets.Checkbox(value=False, description="overwrite", indent=False, tooltip="replace the file if it exists"),
    )


def _named(description: str, tooltip: str, width: str = "19em") -> dict[str, Any]:
    import ipywidgets

    style = {"description_width": "4.5em" if width == "19em" else "initial"}
    return {"description": description, "tooltip": tooltip, "style": style, "layout": ipywidgets.Layout(width=width)}


def _text(description: str, tooltip: str, width: str, placeholder: str = "", *, off: bool = False) -> ipywidgets.Text:
    import ipywidgets

    return ipywidgets.Text(placeholder=placeholder, continuous_update=False, disabled=off, **_named(description, tooltip, width))
