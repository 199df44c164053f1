"""Results as HTML, text and figures: plain values in, strings and matplotlib objects out; no IPython."""
