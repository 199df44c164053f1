"""Curves and points for panels: a plot in some ten milliseconds, in any thread, where a figure takes a fifth of a second and settings of the process."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from nbmosaic._types import AnyArray
from nbmosaic.views.labels import plain_label

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

__all__ = ["QuickSeries", "quick_plot"]

_OVER = 2  # drawn so many times larger and shrunk: smooth lines
_INK, _PALE = "#222222", "#888888"


class QuickSeries(NamedTuple):
    """Points or a line.

    Attributes
    ----------
    x, y : ndarray
        What is not finite is left out.
    colour : str
        As ``#rrggbb``.
    label : str
        For the legend; empty: none.
    style : {"dots", "circles", "rings", "crosses", "line", "dashes"}
        How it is drawn.
    error : ndarray, optional
        Half lengths of error bars.
    """

    x: AnyArray
    y: AnyArray
    colour: str
    label: str = ""
    style: Literal["dots", "circles", "rings", "crosses", "line", "dashes"] = "dots"
    error: AnyArray | None = None


class _Frame(NamedTuple):
    """Where the plot lies on the picture (pixels, large), and the limits of its axes."""

    left: int
    right: int
    top: int
    bottom: int
    x: tuple[float, float]
    y: tuple[float, float]

    def place(self, x: AnyArray, y: AnyArray) -> tuple[AnyArray, AnyArray]:
        return (
            self.left + (x - self.x[0]) * ((self.right - self.left) / (self.x[1] - self.x[0])),
            self.bottom - (y - self.y[0]) * ((self.bottom - self.top) / (self.y[1] - self.y[0])),
        )


def quick_plot(
    series: Sequence[QuickSeries],
    *,
    x_label: str,
    y_label: str,
    x_limits: tuple[float, float],
    y_limits: tuple[float, float] | None = None,
    size: tuple[int, int] = (440, 320),
    x_texts: Sequence[str] | None = None,
) -> bytes:
    """Draw points and lines.

    Parameters
    ----------
    series : sequence of QuickSeries
        In the order of drawing.
    x_label, y_label : str
        With units.
    x_limits, y_limits : tuple of float
        Ends of the axes; y by default from the data.
    size : tuple of int
        ``(width, height)`` of the picture.
    x_texts : sequence of str, optional
        Texts at x = 0, 1, ... in place of numbers; as many as there is room for.

    Returns
    -------
    bytes
        PNG.

    Examples
    --------
    >>> line = QuickSeries(np.arange(3), np.arange(3), "#0072b2", "line", "line")
    >>> quick_plot([line], x_label="x", y_label="y", x_limits=(0, 2))[1:4]
    b'PNG'
    """
    from PIL import Image, ImageDraw

    width, height = (_OVER * value for value in size)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    frame = _Frame(70 * _OVER, width - 12 * _OVER, 12 * _OVER, height - 46 * _OVER, _room(x_limits), _room(y_limits or _range(series)))
    for one in series:
        _draw(image, one, frame)
    draw.rectangle((0, 0, frame.left, height), fill="white")  # what reached beyond the axes
    for box in ((frame.right, 0, width, height), (0, 0, width, frame.top), (0, frame.bottom, width, height)):
        draw.rectangle(box, fill="white")
    draw.rectangle((frame.left, frame.top, frame.right, frame.bottom), outline=_PALE, width=_OVER)
    _axes(image, frame, x_label, y_label, x_texts)
    _legend(draw, frame, series)
    out = io.BytesIO()
    image.reduce(_OVER).save(out, "PNG", compress_level=1)
    return out.getvalue()


def _room(limits: tuple[float, float]) -> tuple[float, float]:
    low, high = map(float, limits)
    if not (np.isfinite(low) and np.isfinite(high)):
        return 0.0, 1.0
    if high > low:
        return low, high
    half = max(abs(low) * 0.05, 1e-6)
    return low - half, low + half


def _range(series: Sequence[QuickSeries]) -> tuple[float, float]:
    """Range of the values and their error bars, with a margin."""
    parts = [value for one in series for value in ((one.y,) if one.error is None else (one.y - one.error, one.y + one.error))]
    values = np.concatenate([np.ravel(part) for part in parts]) if parts else np.zeros(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low)
    return low - margin, high + margin


def _draw(image: Any, one: QuickSeries, frame: _Frame) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    x, y = np.asarray(one.x, np.float64), np.asarray(one.y, np.float64)
    good = np.isfinite(x) & np.isfinite(y)
    px, py = frame.place(x[good], y[good])
    px, py = (np.clip(value, -1e5, 1e5) for value in (px, py))
    if one.style in {"line", "dashes"}:
        points = list(zip(px.tolist(), py.tolist(), strict=True))
        step = 2 if one.style == "dashes" else 1
        for k in range(0, len(points) - 1, step) if step > 1 else ():
            draw.line(points[k : k + 2], fill=one.colour, width=2 * _OVER)
        if step == 1 and len(points) > 1:
            draw.line(points, fill=one.colour, width=2 * _OVER)
        return
    if one.error is not None:
        for at, value, error in zip(px, y[good], np.asarray(one.error, np.float64)[good], strict=True):
            if np.isfinite(error):
                _, ends = frame.place(np.zeros(2), np.array([value - error, value + error]))
                draw.line([(at, ends[0]), (at, ends[1])], fill=one.colour, width=_OVER)
    for at, height in zip(px.tolist(), py.tolist(), strict=True):
        _mark(draw, at, height, one)


def _mark(draw: ImageDraw, x: float, y: float, one: QuickSeries) -> None:
    r = (1.5 if one.style == "dots" else 3.5) * _OVER
    if one.style == "crosses":
        draw.line([(x - r, y - r), (x + r, y + r)], fill=one.colour, width=2 * _OVER)
        draw.line([(x - r, y + r), (x + r, y - r)], fill=one.colour, width=2 * _OVER)
    elif one.style == "rings":
        draw.ellipse((x - r, y - r, x + r, y + r), outline=one.colour, fill="white", width=_OVER)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), fill=one.colour)


def _axes(image: Any, frame: _Frame, x_label: str, y_label: str, x_texts: Sequence[str] | None) -> None:
    """Ticks, numbers and labels."""
    from PIL import Image, ImageDraw

    draw, font, tick = ImageDraw.Draw(image), _font(10 * _OVER), 4 * _OVER
    for value, text in _x_ticks(frame, x_texts):
        x = float(frame.place(np.array(value), np.array(0.0))[0])
        draw.line([(x, frame.bottom), (x, frame.bottom + tick)], fill=_PALE, width=_OVER)
        draw.text((x, frame.bottom + tick + 2 * _OVER), text, fill=_INK, font=font, anchor="mt")
    for value in _ticks(frame.y):
        y = float(frame.place(np.array(0.0), np.array(value))[1])
        draw.line([(frame.left - tick, y), (frame.left, y)], fill=_PALE, width=_OVER)
        draw.text((frame.left - tick - 2 * _OVER, y), _number(value), fill=_INK, font=font, anchor="rm")
    middle = 0.5 * (frame.left + frame.right), 0.5 * (frame.top + frame.bottom)
    draw.text((middle[0], image.height - 4 * _OVER), x_label, fill=_INK, font=_font(11 * _OVER), anchor="mb")
    strip = Image.new("RGB", (frame.bottom - frame.top + 40 * _OVER, 18 * _OVER), "white")
    ImageDraw.Draw(strip).text((strip.width / 2, strip.height / 2), y_label, fill=_INK, font=_font(11 * _OVER), anchor="mm")
    image.paste(strip.rotate(90, expand=True), (0, int(middle[1] - strip.width / 2)))


def _x_ticks(frame: _Frame, texts: Sequence[str] | None) -> list[tuple[float, str]]:
    if texts is None:
        return [(value, _number(value)) for value in _ticks(frame.x)]
    if not texts:
        return []
    wide = max(_font(10 * _OVER).getlength(plain) for plain in texts) + 10 * _OVER
    step = max(1, int(np.ceil(len(texts) * wide / (frame.right - frame.left))))
    return [(float(k), texts[k]) for k in range(0, len(texts), step)]


def _ticks(limits: tuple[float, float]) -> list[float]:
    from matplotlib.ticker import MaxNLocator

    values = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(*limits)
    return [float(value) for value in values if limits[0] <= value <= limits[1]]


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "\N{MINUS SIGN}") if abs(value) > 1e-12 else "0"


def _legend(draw: ImageDraw, frame: _Frame, series: Sequence[QuickSeries]) -> None:
    named = [one for one in series if one.label]
    font, line = _font(10 * _OVER), 15 * _OVER
    if not named:
        return
    wide = max(font.getlength(one.label) for one in named)
    left, top = frame.right - wide - 14 * _OVER, frame.top + 10 * _OVER
    box = (left - 24 * _OVER, frame.top + 2 * _OVER, frame.right - 4 * _OVER, frame.top + 4 * _OVER + line * len(named))
    draw.rectangle(box, fill="white", outline="#dddddd")
    for number, one in enumerate(named):
        y = top + number * line
        if one.style in {"line", "dashes"}:
            ends = ((-18, -4),) if one.style == "line" else ((-18, -13), (-9, -4))
            for begin, end in ends:
                draw.line([(left + begin * _OVER, y), (left + end * _OVER, y)], fill=one.colour, width=2 * _OVER)
        else:
            _mark(draw, left - 11 * _OVER, y, one)
        draw.text((left, y), plain_label(one.label, 40), fill=_INK, font=font, anchor="lm")


@functools.lru_cache(maxsize=4)
def _font(size: int) -> Any:
    """The font of the figures, at a size in pixels."""
    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(f"{mpl.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)
