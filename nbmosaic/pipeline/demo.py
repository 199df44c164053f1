"""The demonstration: simulated frames to a mosaic, pictures and a small HTML report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic.errors import FormatError
from nbmosaic.pipeline.mosaic import mosaic
from nbmosaic.pipeline.products import Background, Mosaic, Projected
from nbmosaic.pipeline.run import Run
from nbmosaic.pipeline.simulation.frames import Simulation, simulate_frames
from nbmosaic.pipeline.stages import coadd

if TYPE_CHECKING:
    from nbmosaic._types import FloatArray
    from nbmosaic.pipeline.execution import Progress
    from nbmosaic.pipeline.quicklook import Picture

__all__ = ["Demo", "large_scale_error", "make_demo"]


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Files of the demonstration and what they show.

    Attributes
    ----------
    run : Run
        The run that made the mosaic.
    frames, mosaic, before, after, report : pathlib.Path
        Folder of the frames, the mosaic, the two pictures, the report.
    error_before, error_after : float
        Large-scale error of the mosaic against the noise-free sky, without and with background matching (DN rms).
    """

    run: Run
    frames: Path
    mosaic: Path
    before: Path
    after: Path
    report: Path
    error_before: float
    error_after: float


def make_demo(folder: str | Path = "nbmosaic-demo", *, seed: int = 1, progress: Progress | None = None) -> Demo:
    """Simulate nine frames of a nebula, make their mosaic, and say how good it is.

    Parameters
    ----------
    folder : path
        Where everything goes; files of an earlier demonstration are replaced.
    seed : int
        Seed of the simulated sky.
    progress : object, optional
        Told of the progress of the run, with the methods of `nbmosaic.pipeline.execution.Progress`.

    Returns
    -------
    Demo
        Files and numbers.

    Raises
    ------
    FormatError
        The folder cannot be written.
    """
    place = Path(folder)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(
            f"cannot make the folder {place}: {error.strerror}", hint="choose another with --folder", path=str(place)
        ) from error
    sky = simulate_frames(place / "frames", n_frames=9, size=384, seed=seed, overwrite=True)
    target = place / "mosaic.fits"
    run = mosaic(sky.paths, output=str(target), overwrite=True, progress=progress)
    projected = run["project"]
    assert isinstance(projected, Projected)
    raw = coadd(projected)
    both = _pictures(place, raw, run.mosaic)
    errors = (large_scale_error(raw, sky), large_scale_error(run.mosaic, sky))
    report = place / "report.html"
    report.write_text(_report(run, both, errors), encoding="utf-8")
    return Demo(
        run=run,
        frames=place / "frames",
        mosaic=target,
        before=place / "before.png",
        after=place / "after.png",
        report=report,
        error_before=errors[0],
        error_after=errors[1],
    )


def large_scale_error(image: Mosaic, sky: Simulation, *, block: int = 32) -> float:
    """Rms over blocks of pixels of the mosaic less the noise-free sky, one common plane removed.

    Medians of the blocks, because cosmic rays and cores of stars are not what the background model is about; the common plane is the
    one thing that overlaps cannot tell.
    """
    difference: FloatArray = np.asarray(image.data, dtype=float) - sky.truth_on(image.wcs, image.shape)
    ny, nx = (n // block for n in image.shape)
    blocks = difference[: ny * block, : nx * block].reshape(ny, block, nx, block).swapaxes(1, 2).reshape(ny, nx, -1)
    good = np.isfinite(blocks).mean(axis=-1) > 0.5
    y, x = np.nonzero(good)
    values = np.nanmedian(blocks[good], axis=-1)
    design = np.stack([np.ones(len(x)), x, y], axis=1)
    values -= design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(np.sqrt(np.mean(values**2)))


def _pictures(place: Path, raw: Mosaic, matched: Mosaic) -> Picture:
    """Write the two pictures; both of them in one is returned, for the report."""
    from nbmosaic.pipeline.quicklook import before_after, mosaic_png

    for name, image in (("before", raw), ("after", matched)):
        (place / f"{name}.png").write_bytes(mosaic_png(image))
    return before_after(raw, matched)


def _report(run: Run, both: Picture, errors: tuple[float, float]) -> str:
    from nbmosaic.pipeline.quicklook import picture, product_html
    from nbmosaic.views.html import frame_html, image_tag
    from nbmosaic.views.markup import Markup
    from nbmosaic.views.report import Section, html_report

    background = run["background"]
    assert isinstance(background, Background)
    network = picture(background, kind="network", width=8)
    residuals = picture(background, kind="residuals", width=8)
    sections = [
        Section(
            "The mosaic before and after matching",
            f"The same stretch for both. Large-scale error against the noise-free sky: {errors[0]:.2f} DN before, {errors[1]:.2f} DN after.",
            image_tag(both.png, both.alt),
        ),
        Section(
            "What was done",
            "One line a stage.",
            frame_html(_log_table(run), limit=None),
        ),
        Section(
            "Overlaps",
            "Every overlap gives the difference of two backgrounds as a plane; the model is the set of planes that explains all of them best.",
            image_tag(network.png, network.alt),
            image_tag(residuals.png, residuals.alt),
        ),
        Section(
            "Background planes", "What was subtracted from each frame, with standard errors.", Markup(product_html(background, limit=20))
        ),
    ]
    return str(html_report("nbmosaic demonstration", sections))


def _log_table(run: Run) -> Any:
    import pandas as pd

    from nbmosaic.views.numbers import duration_text

    rows = [{"stage": r.step.stage, "in": r.n_in, "out": r.n_out, "result": r.key, "time": duration_text(r.seconds)} for r in run.log]
    # nullable integers: with a missing count among them the counts would become 9.0
    return pd.DataFrame(rows).astype({"in": "Int64", "out": "Int64"}).set_index("stage")
