"""Products as DataFrames: Montage's columns in Montage's order, then ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import InputError
from nbmosaic.types import BackgroundModel, FrameInfo, OverlapFlag, OverlapPlanes

if TYPE_CHECKING:
    import pandas as pd

    from nbmosaic.pipeline.products import Mosaic

__all__ = ["background_table", "image_table", "mosaic_table", "overlap_table", "planes_of_table", "residual_table"]

BOX_COLUMNS = ("plus", "minus", "a", "b", "c", "npixel", "rms", "boxx", "boxy", "boxwidth", "boxheight", "boxang")
MOMENT_COLUMNS = (
    "level",
    "xcenter",
    "ycenter",
    "sxx",
    "sxy",
    "syy",
    "nvalid",
    "noise_power",
    "xmin",
    "xmax",
    "ymin",
    "ymax",
    "crpix1",
    "crpix2",
)


def image_table(infos: Sequence[FrameInfo]) -> pd.DataFrame:
    """Montage's image table of the frames, then unit, exposure time, flux scale and name."""
    from nbmosaic.core.geometry.sky import centre_and_corners
    from nbmosaic.io.frame_table import frame_table

    centres, corners = np.zeros((len(infos), 2)), np.zeros((len(infos), 4, 2))
    for row, info in enumerate(infos):
        centres[row], corners[row] = centre_and_corners(info.wcs, info.shape)
    return frame_table(infos, centres=centres, corners=corners)


def flag_text(flag: int) -> str:
    """Names of the flag's bits in lower case, or an empty string."""
    return " ".join(str(bit.name).lower() for bit in OverlapFlag if bit and flag & bit)


def overlap_table(planes: OverlapPlanes, names: Mapping[int, str], origin: tuple[float, float]) -> pd.DataFrame:
    """Montage's fits table, then standard errors, clipped counts, moments and flags.

    The moments (``level sxx sxy syy noise_power``) make every slice of the table sufficient input for the background model.
    """
    import pandas as pd

    from nbmosaic.core.matching.columns import overlap_columns

    columns: dict[str, Any] = dict(overlap_columns(planes, origin=origin))
    flags = columns.pop("flag")
    columns |= {"sxx": planes.sxx, "sxy": planes.sxy, "syy": planes.syy, "noise_power": planes.noise_power}
    columns["flag"] = [flag_text(int(flag)) for flag in flags]
    columns["plus_name"] = [names.get(int(i), str(i)) for i in planes.plus]
    columns["minus_name"] = [names.get(int(i), str(i)) for i in planes.minus]
    return pd.DataFrame(columns)


def background_table(model: BackgroundModel, names: Mapping[int, str]) -> pd.DataFrame:
    """``id a b c`` as in Montage's corrections table, then standard errors, group and name."""
    import pandas as pd

    missing = np.full((len(model), 3), np.nan)
    stderr = missing if model.stderr is None else model.stderr
    a, b, c = model.planes.T
    return pd.DataFrame(
        {
            "id": model.frames,
            "a": a,
            "b": b,
            "c": c,
            "a_err": stderr[:, 0],
            "b_err": stderr[:, 1],
            "c_err": stderr[:, 2],
            "level": model.level,
            "level_err": model.level_stderr if model.level_stderr is not None else missing[:, 0],
            "component": model.component,
            "name": [names.get(int(i), str(i)) for i in model.frames],
        }
    )


def residual_table(model: BackgroundModel, planes: OverlapPlanes, names: Mapping[int, str]) -> pd.DataFrame:
    """One row an overlap: level difference before and after correction, and the weight in the solution."""
    import pandas as pd

    return pd.DataFrame(
        {
            "plus": planes.plus,
            "minus": planes.minus,
            "before": planes.level,
            "after": model.residual_level,
            "after_rms": model.residual_rms,
            "expected": np.sqrt(planes.noise_power / np.maximum(planes.n_pixels, 1)),
            "npixel": planes.n_pixels,
            "weight": model.weight,
            "plus_name": [names.get(int(i), str(i)) for i in planes.plus],
            "minus_name": [names.get(int(i), str(i)) for i in planes.minus],
        }
    )


def mosaic_table(mosaic: Mosaic) -> pd.DataFrame:
    """A few numbers of a mosaic, computed on a thinned image (at most about a million pixels)."""
    import pandas as pd

    step = max(1, int(np.sqrt(mosaic.data.size / 1e6)))
    thin = np.asarray(mosaic.data[::step, ::step], dtype=float)
    good = thin[np.isfinite(thin)]
    numbers: dict[str, Any] = {
        "width": mosaic.shape[1],
        "height": mosaic.shape[0],
        "unit": mosaic.unit,
        "frames": mosaic.n_frames,
        "combine": mosaic.combine,
        "blank_percent": round(100.0 * (1.0 - good.size / max(1, thin.size)), 2),
        "median": float(np.median(good)) if good.size else np.nan,
        "max_frames_on_a_pixel": int(np.max(mosaic.count[::step, ::step], initial=0)),
    }
    return pd.DataFrame({"quantity": list(numbers), "value": list(numbers.values())})


def planes_of_table(table: pd.DataFrame) -> tuple[OverlapPlanes, tuple[float, float]]:
    """Planes and their origin from a fits table.

    A table of ours carries the moments of the pixels kept; a table of Montage only the box, and then the planes get the moments of the box, so
    that the solution minimises Montage's own objective exactly. The origin is that of the table: pixel positions are ``x - CRPIX1`` there, and
    the grid position of the template is only known up to that, so 0-based grid pixels are counted from CRPIX.

    Raises
    ------
    InputError
        A column is missing or not a number.
    """
    from nbmosaic.core.matching.planes import planes_from_boxes

    missing = [name for name in BOX_COLUMNS if name not in table.columns]
    if missing:
        raise InputError(
            f"the fits table has no column {', '.join(missing)}",
            hint="it needs plus minus a b c npixel rms boxx boxy boxwidth boxheight boxang",
        )
    values = {name: _numbers(table, name) for name in BOX_COLUMNS}
    whole = {name: values.pop(name).astype(np.int64) for name in ("plus", "minus")}
    planes = planes_from_boxes(
        plus=whole["plus"],
        minus=whole["minus"],
        a=values["a"],
        b=values["b"],
        c=values["c"],
        boxx=values["boxx"],
        boxy=values["boxy"],
        boxwidth=values["boxwidth"],
        boxheight=values["boxheight"],
        boxang=values["boxang"],
        npixel=values["npixel"],
        rms=values["rms"],
    )
    if all(name in table.columns for name in MOMENT_COLUMNS):
        planes = _with_moments(planes, {name: _numbers(table, name) for name in MOMENT_COLUMNS}, values)
    return planes, (0.0, 0.0)


def _numbers(table: pd.DataFrame, name: str) -> FloatArray:
    import pandas as pd

    column = pd.to_numeric(table[name], errors="coerce").to_numpy(dtype=float)
    bad = np.flatnonzero(~np.isfinite(column))
    if name in {"plus", "minus"} and len(bad):
        raise InputError(f"the fits table has no number in row {int(bad[0])}, column {name}", hint="look at that row of the table")
    return column


def _with_moments(planes: OverlapPlanes, moments: Mapping[str, FloatArray], values: Mapping[str, FloatArray]) -> OverlapPlanes:
    box = np.stack([moments["ymin"], moments["ymax"] + 1, moments["xmin"], moments["xmax"] + 1], axis=1)
    few = ~np.isfinite(moments["level"])
    return planes.replace(
        level=moments["level"],
        slope_x=values["a"],
        slope_y=values["b"],
        n_pixels=values["npixel"],
        n_valid=moments["nvalid"],
        xmean=moments["xcenter"],
        ymean=moments["ycenter"],
        sxx=moments["sxx"],
        sxy=moments["sxy"],
        syy=moments["syy"],
        noise_power=moments["noise_power"],
        box=np.floor(np.nan_to_num(box)).astype(np.int64),
        flag=np.where(few, int(OverlapFlag.FEW_PIXELS), 0).astype(np.int64),
    )
