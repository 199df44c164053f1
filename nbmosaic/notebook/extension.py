"""What ``%load_ext nbmosaic`` and ``%unload_ext nbmosaic`` do."""

from __future__ import annotations

from typing import Any

__all__ = ["load", "unload"]

PRODUCT = ("nbmosaic.pipeline.product", "Product")
AXES = ("matplotlib.axes._base", "_AxesBase")
MAGICS = (("line", "mosaic"), ("cell", "mosaic"), ("line", "nbmosaic"), ("line", "psf"))


def load(ipython: Any) -> None:
    """Register the magics; does nothing if they are there.

    Parameters
    ----------
    ipython : InteractiveShell
        The shell.
    """
    from nbmosaic.notebook.completion import matcher
    from nbmosaic.notebook.display import axes_picture, html_formatter, text_formatter
    from nbmosaic.notebook.magics import MosaicMagics

    if loaded(ipython) is not None:
        return
    magics = MosaicMagics(ipython)
    ipython.register_magics(magics)
    magics.matcher = matcher(magics)
    ipython.Completer.custom_matchers.append(magics.matcher)
    formatters = ipython.display_formatter.formatters
    formatters["text/html"].for_type_by_name(*PRODUCT, html_formatter(magics))
    formatters["text/plain"].for_type_by_name(*PRODUCT, text_formatter(magics))
    formatters["image/png"].for_type_by_name(*AXES, axes_picture)


def unload(ipython: Any) -> None:
    """Take away everything that `load` registered; does nothing if it is not there.

    Parameters
    ----------
    ipython : InteractiveShell
        The shell.
    """
    magics: Any = loaded(ipython)
    if magics is None:
        return
    manager = ipython.magics_manager
    for kind, name in MAGICS:
        function = manager.magics[kind].get(name)
        if getattr(function, "__self__", None) is magics:
            del manager.magics[kind][name]
    manager.registry.pop(type(magics).__name__, None)
    if magics.matcher in ipython.Completer.custom_matchers:
        ipython.Completer.custom_matchers.remove(magics.matcher)
    if magics in ipython.configurables:
        ipython.configurables.remove(magics)
    for mime, place in (("text/html", PRODUCT), ("text/plain", PRODUCT), ("image/png", AXES)):
        formatter = ipython.display_formatter.formatters[mime]
        formatter.deferred_printers.pop(place, None)
        for cls in [cls for cls in formatter.type_printers if (cls.__module__, cls.__name__) == place]:
            formatter.pop(cls, None)


def loaded(ipython: Any) -> Any | None:
    """Give the magics of a shell, if they are loaded."""
    return ipython.magics_manager.registry.get("MosaicMagics")
