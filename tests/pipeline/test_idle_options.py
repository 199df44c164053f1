"""Options that could have no effect are refused, not ignored."""

from __future__ import annotations

import pytest

import nbmosaic
from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.mosaic import mosaic_recipe


@pytest.mark.parametrize("option", [{"robust": True}, {"slope": False}, {"sigma": 2.5}, {"reference": [1]}], ids=str)
def test_options_of_the_match_need_the_match(option: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(option))} cannot be used with match=False"):
        mosaic_recipe("*.fits", match=False, **option)
    assert len(mosaic_recipe("*.fits", match=True, **option).steps) == 7


@pytest.mark.parametrize("option", [{"scale": 2.0}, {"system": "galactic"}, {"pad_pix": 3}, {"rotation": 0.0}], ids=str)
def test_a_template_fixes_the_grid(option: dict) -> None:
    with pytest.raises(ConfigError, match=f"{next(iter(option))} cannot be used with a template"):
        nbmosaic.header(None, "any.hdr", **option)


def test_kappa_is_for_the_clipped_mean() -> None:
    with pytest.raises(ConfigError, match="kappa cannot be used with combine='median'"):
        nbmosaic.coadd(None, combine="median", kappa=2.0)
