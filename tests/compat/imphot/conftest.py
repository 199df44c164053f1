"""Records of the real imphot (musevlt/imphot 009225c; numpy 2.4.6, scipy 1.17.1, lmfit 1.3.4, mpdaf 3.6), and its images, read once."""

from __future__ import annotations

import gzip
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.shared import shared_path

from nbmosaic.io.image_planes import read_sky_image
from nbmosaic.types.sky_image import SkyImage


class Golden:
    """The records."""

    @property
    def folder(self) -> Path:
        return shared_path("golden/imphot")

    def path(self, name: str) -> str:
        """File of one of the inputs."""
        found = self.folder / "inputs" / (name if "." in name else f"{name}.fits.gz")
        return str(found)

    @cache  # noqa: B019 - one object for the whole session
    def image(self, name: str) -> SkyImage:
        return read_sky_image(self.path(name))

    @cache  # noqa: B019
    def _records(self, name: str) -> dict[str, Any]:
        with gzip.open(self.folder / name, "rt") as file:
            return json.load(file)

    @property
    def results(self) -> dict[str, Any]:
        return self._records("golden.json.gz")["results"] | self.second

    @property
    def second(self) -> dict[str, Any]:
        return self._records("golden2.json.gz")

    @cache  # noqa: B019
    def truth(self) -> dict[str, Any]:
        return json.loads((self.folder / "truth.json").read_text())

    def star(self, number: int, radius: float = 3.0) -> tuple[float, float, float]:
        ra, dec = self.truth()["stars"][number]["radec"]
        return ra, dec, radius

    def plain(self, name: str, folder: Path) -> str:
        """A copy of an input without its gzip, which can be written beside."""
        out = folder / f"{name}.fits"
        with gzip.open(self.path(name)) as source, out.open("wb") as target:
            shutil.copyfileobj(source, target)
        return str(out)


@pytest.fixture(scope="session")
def golden() -> Golden:
    found = Golden()
    assert found.folder.is_dir()
    return found
