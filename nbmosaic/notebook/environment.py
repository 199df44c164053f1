"""What this installation and this machine have, as ``%nbmosaic`` shows it."""

from __future__ import annotations

import platform
import re
from importlib import metadata

from nbmosaic.notebook.help import InfoTable

__all__ = ["info_table"]


def info_table(config: tuple[tuple[str, str], ...]) -> InfoTable:
    """Versions, limits and configuration.

    Parameters
    ----------
    config : tuple of (str, str)
        Names and values of the configuration of the magics.
    """
    from nbmosaic import __version__
    from nbmosaic.pipeline.execution import DEFAULT_MEMORY, available_cpus, memory_limit
    from nbmosaic.pipeline.progress import memory_used

    used = memory_used()
    machine = (
        ("processors", f"{available_cpus()} may be used"),
        (
            "memory",
            f"{memory_limit() / 1e9:.1f} GB may be used" + ("" if used is None else f", {used / 1e6:.0f} MB are in use by this process"),
        ),
        ("pixel data", f"{DEFAULT_MEMORY / 1e6:.0f} MB of frames are held at once (option max_memory)"),
        ("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
    )
    sections = (("this machine", machine), ("packages", _packages()), ("%config MosaicMagics", config))
    return InfoTable(f"nbmosaic {__version__}: %mosaic lists the stages, %mosaic help STAGE explains one", sections)


def _packages() -> tuple[tuple[str, str], ...]:
    """Versions of what nbmosaic needs, and of the optional packages that are there; nothing is imported for that."""
    versions = []
    try:
        requirements = metadata.requires("nbmosaic") or []
    except metadata.PackageNotFoundError:
        requirements = []  # run from its source folder without being installed
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        optional = "extra ==" in requirement
        if name is None or re.search(r"""extra == ['"]test['"]""", requirement):
            continue
        try:
            versions.append((name[0], metadata.version(name[0])))
        except metadata.PackageNotFoundError:
            if not optional:
                versions.append((name[0], f"is not installed: pip install {name[0]}"))
    return tuple(dict(versions).items())
