"""The JSON that mViewer takes, to the description of a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from nbmosaic.compat.montage.viewer_words import COLOURS, COLUMNS, Wanted, parse_stretch, parse_system
from nbmosaic.errors import InputError
from nbmosaic.pipeline.picture_marks import parse_size, parse_symbol
from nbmosaic.types.picture import Channel, GridOverlay

__all__ = ["from_json"]

_JSON_SETTINGS = {
    "color": "color",
    "font_scale": "fontscale",
    "line_width": "linewidth",
    "alpha": "alpha",
    "imgalpha": "imgalpha",
    "tzero": "tzero",
    "color_table": "ct",
    "true_color": "t",
    "saturate": "saturate",
    **{name: name for what in ("brightness", "contrast") for name in (what, "r" + what, "g" + what, "b" + what)},
}
_LOCAL = ("color", "font_scale", "line_width", "alpha")


def from_json(text: str) -> Wanted:
    """Read a picture described in JSON.

    Raises
    ------
    InputError
        It is no JSON object, or an attribute is missing or cannot be used.

    Examples
    --------
    >>> from_json('{"gray_file": {"fits_file": "a.fits", "stretch_min": "1%", "stretch_max": "max"}}').spec().channels[0].low
    '1%'
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as err:
        raise InputError(f"Invalid JSON structure. ({str(err)[:120]})") from None
    if not isinstance(tree, dict):
        raise InputError("Invalid JSON structure. (an object was expected)")
    wanted = Wanted()
    for key, name in _JSON_SETTINGS.items():
        if key in tree:
            wanted.set(name, _text(tree[key]))
    wanted.picture = replace(wanted.picture, use_wcs=not _is_true(tree.get("no_wcs")), flip=not _is_true(tree.get("no_flip")))
    if "coord_sys" in tree:
        wanted.system, _ = parse_system(_text(tree["coord_sys"]).split() or [""])
    if "symbol" in tree:
        wanted.symbol, _ = parse_symbol(_text(tree["symbol"]).split() or [""], wanted.symbol)
    for name in ("gray", *COLOURS):
        if f"{name}_file" in tree:
            _json_channel(wanted, name, tree[f"{name}_file"])
    overlays = tree.get("overlays", [])
    for number, overlay in enumerate(overlays if isinstance(overlays, list) else [overlays]):
        try:
            _json_overlay(wanted, overlay, number)
        except InputError as err:
            message = err.message if "verlay" in err.message else f"{err.message} (overlay {number})"
            raise InputError(message) from None
    return wanted


def _text(value: Any) -> str:
    return str(value).strip() if isinstance(value, str | int | float) else json.dumps(value)


def _is_true(value: Any) -> bool:
    return value is not None and _text(value).lower() not in {"false", "no", "0", ""}


def _json_channel(wanted: Wanted, name: str, entry: Any) -> None:
    if not isinstance(entry, dict) or "fits_file" not in entry:
        raise InputError(f"{name.capitalize()} file has no 'fits_file' attribute.")
    if "color_table" in entry:
        wanted.set("ct", _text(entry["color_table"]))
    for what in ("brightness", "contrast"):
        if what in entry:
            wanted.set(what if name == "gray" else name[0] + what, _text(entry[what]))
    mode = _text(entry.get("stretch_mode", "linear"))
    words = [mode, _text(entry["stretch_beta"])] if "stretch_beta" in entry else [mode]
    stretch, used = parse_stretch(words)
    if not used:
        raise InputError(f"Invalid stretch mode {mode[:40]!r} of the {name} file")
    low, high = (_text(entry.get(f"stretch_{word}", word)) for word in ("min", "max"))
    wanted.channels[name] = Channel(path=_text(entry["fits_file"]), low=low, high=high, **stretch)


def _json_overlay(base: Wanted, entry: Any, number: int) -> None:
    """Add one overlay; its own settings do not hold for the next one."""
    if not isinstance(entry, dict) or "type" not in entry:
        raise InputError(f"Overlay {number} has no 'type' attribute.")
    if "visible" in entry and not _is_true(entry["visible"]):
        return
    wanted = Wanted(system=base.system, pen=base.pen, symbol=base.symbol, overlays=base.overlays)
    kind = _text(entry["type"])
    needed = {
        "grid": ("coord_sys",),
        "catalog": ("data_file",),
        "imginfo": ("data_file",),
        "mark": ("lon", "lat"),
        "label": ("lon", "lat", "text"),
    }
    if kind not in needed:
        raise InputError(f"Overlay {number} has the unknown type {kind[:40]!r}.")
    for attribute in needed[kind]:
        if attribute not in entry:
            raise InputError(f"Overlay {number} has no {attribute!r} attribute.")
    for key in _LOCAL:
        if key in entry:
            wanted.set(_JSON_SETTINGS[key], _text(entry[key]))
    if "coord_sys" in entry:
        wanted.system, _ = parse_system(_text(entry["coord_sys"]).split() or [""])
    if "symbol" in entry:
        wanted.symbol, _ = parse_symbol(_text(entry["symbol"]).split() or [""], wanted.symbol)
    if "sym_size" in entry:
        size, unit = parse_size(_text(entry["sym_size"]))
        wanted.symbol = replace(wanted.symbol, size=size, unit=unit)
    wanted.columns = {name: _text(entry[f"{name}_column"]) for name in COLUMNS if f"{name}_column" in entry}
    if kind == "catalog":
        if "data_column" in entry:
            wanted.set_scale(
                [_text(entry[k]) if k in entry else d for k, d in (("data_column", ""), ("data_ref", "1"), ("data_type", "flux"))]
            )
        wanted.add_catalog(_text(entry["data_file"]))
    elif kind == "imginfo":
        wanted.add_outlines(_text(entry["data_file"]))
    elif kind == "grid":
        wanted.overlays.append(GridOverlay(system=wanted.system, pen=wanted.pen))
    else:
        wanted.add_place(_text(entry["lon"]), _text(entry["lat"]), _text(entry["text"]) if kind == "label" else None)
