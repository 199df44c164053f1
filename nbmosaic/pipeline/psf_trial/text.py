"""A trial as text: words, Python code, a line magic."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from nbmosaic.pipeline.code import python_code
from nbmosaic.pipeline.psf_trial.setting import FITS
from nbmosaic.pipeline.recipe import Recipe, Step
from nbmosaic.views.labels import plain_label

if TYPE_CHECKING:
    from nbmosaic.pipeline.psf_trial.trial import PsfTrial

__all__ = ["trial_code", "trial_line", "trial_words"]


def trial_words(trial: PsfTrial) -> str:
    """The values and how well they describe the image."""
    fixed = ", ".join(sorted(trial.fixed))
    facts = trial.facts
    state = "fit" if trial.is_fitted else "trial"
    name, reference = (plain_label(text, 40) for text in trial.names)
    return (
        f"{state} of {name} against {reference}: fwhm {trial.fwhm:.4f} arcsec, beta {trial.beta:.3f}, "
        f"dx {trial.dx:.4f} arcsec, dy {trial.dy:.4f} arcsec, scale {trial.scale:.4g}, bg {trial.bg:.4g} {trial.unit}".rstrip()
        + f"; chi squared per pixel {facts.redchi:.4g} ({facts.n_pixels} pixels)"
        + (f"; fixed: {fixed}" if fixed else "")
    )


def trial_code(trial: PsfTrial) -> str:
    """Python code of the fit; images in memory are called ``reference`` and ``image``."""
    words: list[Any] = []
    source: dict[str | int, str] = {}
    for number, (item, name) in enumerate(zip(trial.asked, ("reference", "image"), strict=True)):
        words.append(os.fspath(item) if isinstance(item, str | os.PathLike) else item)
        if not isinstance(words[-1], str):
            source[number] = name
    kind = FITS[trial.how][0]
    stage = "fit_image_photometry" if kind == "image" else "fit_star_photometry"
    step = Step(stage=stage, words=tuple(words), options=_options(trial), source=source, name="fit")
    return python_code(Recipe(steps=(step,)))


def trial_line(trial: PsfTrial) -> str:
    """The fit as a line of ``%psf``."""
    parts = ["fit = %psf", FITS[trial.how][0]]
    for item, name in zip(trial.asked, ("reference", "image"), strict=True):
        parts.append(_word(os.fspath(item)) if isinstance(item, str | os.PathLike) else f"{{{name}}}")
    for name, value in _options(trial).items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            parts.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, str):
            parts.append(f"--{flag} {_word(value)}")
        elif isinstance(value, int | float):
            parts.append(f"--{flag} {value!r}")
        else:
            parts.append(f"--{flag} {{{value!r}}}" if isinstance(value, tuple | dict | list) else f"--{flag} {{{name}}}")
    return " ".join(parts)


def _options(trial: PsfTrial) -> dict[str, Any]:
    """Options of the fit that differ from its defaults."""
    import inspect

    from nbmosaic.pipeline.photometry import fitting as photometry

    function = photometry.fit_image_photometry if FITS[trial.how][0] == "image" else photometry.fit_star_photometry
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    return {name: value for name, value in trial.fit_options().items() if not _same(value, defaults[name])}


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, str | int | float) and value == default)


def _word(text: str) -> str:
    """A word of a cell line, in quotes where it needs them."""
    plain = text and not any(sign in text for sign in " \t'\"#{}=") and not text.startswith("-")
    if plain:
        return text
    quote = "'" if '"' in text else '"'
    return quote + text.replace("{", "{{").replace("}", "}}") + quote
