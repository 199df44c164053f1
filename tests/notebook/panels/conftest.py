from __future__ import annotations

import re

import pytest

import nbmosaic
from nbmosaic.pipeline.simulation.frames import simulate_frames


@pytest.fixture(scope="session")
def matched(tmp_path_factory):
    """A run of five frames; the name of one has HTML in it."""
    folder = tmp_path_factory.mktemp("panels")
    simulation = simulate_frames(folder, n_frames=5, size=64, seed=2)
    paths = sorted(folder.glob("*.fits"))
    assert simulation.folder
    paths[1].rename(folder / "<script>alert(1)<'&>.fits")
    return nbmosaic.mosaic(sorted(str(path) for path in folder.glob("*.fits")), method="bilinear", jobs=1)


@pytest.fixture
def told():
    """What the status line of a panel says, without its style."""
    return lambda panel: re.sub(r"<style>.*?</style>", "", panel._status.value, flags=re.DOTALL)


@pytest.fixture
def live_widgets():
    """All widgets that are not closed."""
    from ipywidgets.widgets import widget

    return lambda: dict(widget._instances)


@pytest.fixture
def checked_panel(live_widgets):
    """What holds for every panel: static form, descriptions, text from files as text, and a clean end."""

    def check(make, evil="<script>"):
        before = live_widgets()
        panel = make()
        tree = list(_tree(panel.widget))
        for widget in tree:
            if hasattr(widget, "description") and type(widget).__name__ not in {"HTML", "Play"}:
                assert widget.description or type(widget).__name__ == "ToggleButtons", widget
                assert getattr(widget, "tooltip", None) or getattr(widget, "tooltips", None), widget
            if type(widget).__name__ == "HTML":
                assert evil not in widget.value
        bundle, words = panel._repr_mimebundle_()
        assert words["image/png"]["alt"].strip()
        assert set(bundle) == {"text/plain", "text/html", "image/png"}  # no kernel, no live widget
        assert bundle["image/png"].startswith(b"\x89PNG")
        assert evil not in bundle["text/html"]
        assert bundle["text/plain"].startswith(f"<{type(panel).__name__}: ")
        panel.close()
        panel.close()
        assert [widget for key, widget in live_widgets().items() if key not in before] == []
        assert "(closed)" in repr(panel)

    return check


def _tree(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from _tree(child)
