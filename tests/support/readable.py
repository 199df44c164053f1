"""Whether text on a page can be read: its contrast with what is behind it."""

from __future__ import annotations

import re

__all__ = ["READABLE", "TEXTS", "contrast", "unreadable"]

# Every visible text with its colour, its opacity, and the backgrounds below it from the front to the back.
TEXTS = """root => {
    const found = [], walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const text = walker.currentNode.data.trim(), parent = walker.currentNode.parentElement;
        if (!text || parent.closest("style") || !parent.checkVisibility()) continue;
        const layers = [];
        let opacity = 1;
        for (let element = parent; element; element = element.parentElement) {
            const style = getComputedStyle(element);
            layers.push(style.backgroundColor);
            opacity *= Number(style.opacity);
        }
        found.push([text, getComputedStyle(parent).color, opacity, layers]);
    }
    return found;
}"""

READABLE = 4.5
"""Least contrast of normal text in the Web Content Accessibility Guidelines, level AA."""


def rgba(colour):
    """Red, green, blue and opacity, each 0 to 1, of a computed colour."""
    match = re.fullmatch(r"rgba?\(([^)]*)\)", colour)
    assert match, f"colour {colour} is not rgb"
    red, green, blue, alpha = (*map(float, match[1].split(",")), 1.0)[:4]
    return red / 255, green / 255, blue / 255, alpha


def over(front, back, opacity=1.0):
    alpha = front[3] * opacity
    return (*(alpha * f + (1 - alpha) * b for f, b in zip(front[:3], back[:3], strict=True)), 1.0)


def luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(colour, opacity, layers):
    """Contrast of a text with what is behind it: 1 (invisible) to 21 (black on white)."""
    back = (1.0, 1.0, 1.0, 1.0)
    for layer in reversed(layers):
        back = over(rgba(layer), back)
    low, high = sorted([luminance(over(rgba(colour), back, opacity)), luminance(back)])
    return (high + 0.05) / (low + 0.05)


def unreadable(place):
    """Texts below a locator whose contrast is too small, each with what it is on."""
    found = []
    for text, colour, opacity, layers in place.evaluate(TEXTS):
        value = contrast(colour, opacity, layers)
        if value < READABLE:
            found.append(f"{text!r} has a contrast of {value:.1f}: {colour}, opacity {opacity}, on {layers}")
    return found
