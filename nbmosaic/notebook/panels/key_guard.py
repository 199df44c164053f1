"""Keys for the lists and sliders of a panel: JupyterLab would take the arrow keys for moving from cell to cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ipywidgets

__all__ = ["key_guard"]

# In its command mode JupyterLab has shortcuts without Ctrl or Alt (arrows, J, K, X, D D), also while a list in an output has the focus; it
# passes over elements with this attribute. Only those that use such keys themselves get it: elsewhere its shortcuts go on to work.
SCRIPT = """\
function render({ el }) {
  el.style.display = "none";
  const guard = (event) => {
    const target = event.target;
    if (target.matches("select, [role=slider]") && target.closest(".nbm-panel")) target.dataset.lmSuppressShortcuts = "true";
  };
  document.addEventListener("focusin", guard);
  return () => document.removeEventListener("focusin", guard);
}
export default { render };
"""


def key_guard() -> tuple[ipywidgets.Widget, ...]:
    """Make what keeps JupyterLab from taking the keys of lists; nothing where anywidget is not installed.

    Returns
    -------
    tuple of ipywidgets.Widget
        One widget without a size, to be put into a panel, or none.
    """
    try:
        import anywidget
    except ImportError:
        return ()

    class KeyGuard(anywidget.AnyWidget):
        """Shows nothing."""

        _esm = SCRIPT

    return (KeyGuard(),)
