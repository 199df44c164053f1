"""A simulated mosaic camera: where its detectors lie behind a distorting lens, and the headers that say so.

All header kinds describe one and the same camera to the last digit, because the distortion is purely radial: with (x, y) the offsets from the optical axis
before distortion, in degrees, the sky offsets are ``(x, y) * (1 + k (x**2 + y**2))``. Positions are computed here from that formula, not from the headers, so
that reading a header can be tested against them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nbmosaic._types import FloatArray
from nbmosaic.errors import ConfigError

__all__ = ["CAMERA_KINDS", "Camera", "camera_offsets", "detector_cards", "make_camera"]

CAMERA_KINDS = ("tpv", "sip", "tnx")
"""How the headers write the distortion: PV terms (SCAMP, DECam), SIP, or IRAF's TNX surfaces (the NOAO mosaics)."""

_WAT_CARD = 68
_MOUNTING = 1.5  # pixels by which a detector may lie off its place
Cards = dict[str, str | float | int]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Camera:
    """Detectors in the focal plane.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of a detector.
    centres : ndarray, shape (n, 2)
        Middles ``x, y`` of the detectors, in pixels from the optical axis, before distortion.
    turns : ndarray, shape (n,)
        Rotations of the detectors, degrees.
    scale_arcsec : float
        Pixel scale on the optical axis.
    distortion : float
        ``k`` of the module's text, per square degree.
    """

    shape: tuple[int, int]
    centres: FloatArray
    turns: FloatArray
    scale_arcsec: float
    distortion: float

    def __len__(self) -> int:
        return len(self.turns)

    def matrix(self, number: int) -> FloatArray:
        """From pixels of a detector to degrees from the optical axis (x to the east, so against the columns), before distortion."""
        angle = np.radians(self.turns[number])
        cos, sin = np.cos(angle), np.sin(angle)
        step = self.scale_arcsec / 3600
        return step * np.array([[-cos, sin], [sin, cos]])

    def axis_pixel(self, number: int) -> FloatArray:
        """Pixel ``x, y`` (0-based) of a detector that the optical axis would fall on."""
        ny, nx = self.shape
        angle = np.radians(self.turns[number])
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = self.centres[number]
        return np.array([(nx - 1) / 2 - (cos * x + sin * y), (ny - 1) / 2 - (-sin * x + cos * y)])


def make_camera(
    rng: np.random.Generator,
    *,
    detectors: tuple[int, int] = (2, 4),
    shape: tuple[int, int] = (256, 128),
    gap: int = 12,
    scale_arcsec: float = 0.5,
    distortion: float = 0.01,
    rotation: float = 0.3,
) -> Camera:
    """Put detectors into rows and columns with gaps, each a little off its place and turned.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of the misplacements.
    detectors : tuple of int
        Rows and columns of detectors.
    shape : tuple of int
        ``(ny, nx)`` of one.
    gap : int
        Pixels between neighbours.
    scale_arcsec : float
        Pixel scale on the optical axis.
    distortion : float
        Shift of the corner of the field over its distance from the optical axis.
    rotation : float
        Largest rotation of a detector, degrees.

    Returns
    -------
    Camera

    Raises
    ------
    ConfigError
        A number that makes no camera.

    Examples
    --------
    >>> len(make_camera(np.random.default_rng(1)))
    8
    """
    rows, columns = detectors
    if min(rows, columns) < 1 or min(shape) < 8 or gap < 0 or not scale_arcsec > 0:
        raise ConfigError(
            f"cannot make a camera of {rows} x {columns} detectors of {shape} with gaps of {gap}",
            hint="use at least one detector of 8 x 8 pixels",
        )
    ny, nx = shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    centres = np.stack([(column - (columns - 1) / 2) * (nx + gap), (row - (rows - 1) / 2) * (ny + gap)], axis=1).astype(float)
    corner = np.hypot(columns * (nx + gap), rows * (ny + gap)) / 2 * scale_arcsec / 3600
    return Camera(
        shape=shape,
        centres=centres + rng.uniform(-_MOUNTING, _MOUNTING, centres.shape),
        turns=rng.uniform(-rotation, rotation, len(centres)),
        scale_arcsec=scale_arcsec,
        distortion=distortion / corner**2,
    )


def camera_offsets(camera: Camera, number: int) -> tuple[FloatArray, FloatArray]:
    """Tangent-plane offsets of all pixel centres of a detector.

    Parameters
    ----------
    camera : Camera
        The camera.
    number : int
        Which detector.

    Returns
    -------
    xi, eta : ndarray, shape (ny, nx)
        Arcsec to the east and to the north of the optical axis.
    """
    x0, y0 = camera.axis_pixel(number)
    (a, b), (c, d) = camera.matrix(number)
    x, y = np.arange(camera.shape[1]) - x0, (np.arange(camera.shape[0]) - y0)[:, None]
    xi, eta = a * x + b * y, c * x + d * y
    factor = 3600 * (1 + camera.distortion * (xi * xi + eta * eta))
    return xi * factor, eta * factor


def detector_cards(camera: Camera, number: int, *, kind: str, pointing: tuple[float, float]) -> Cards:
    """WCS cards of a detector.

    Parameters
    ----------
    camera : Camera
        The camera.
    number : int
        Which detector.
    kind : str
        One of `CAMERA_KINDS`.
    pointing : tuple of float
        ICRS position of the optical axis (degrees).

    Returns
    -------
    dict
        Keyword to value.

    Raises
    ------
    ConfigError
        The kind is not known.
    """
    if kind not in CAMERA_KINDS:
        raise ConfigError(f"header kind {kind!r} of a camera is not known", hint="choose from " + ", ".join(CAMERA_KINDS))
    x0, y0 = camera.axis_pixel(number)
    (a, b), (c, d) = camera.matrix(number)
    name = {"tpv": "TPV", "sip": "TAN-SIP", "tnx": "TNX"}[kind]
    cards: Cards = {"CTYPE1": f"RA---{name}", "CTYPE2": f"DEC--{name}", "CRVAL1": pointing[0], "CRVAL2": pointing[1]}
    cards |= {"CRPIX1": float(x0) + 1, "CRPIX2": float(y0) + 1, "CUNIT1": "deg", "CUNIT2": "deg"}
    cards |= {"CD1_1": float(a), "CD1_2": float(b), "CD2_1": float(c), "CD2_2": float(d), "RADESYS": "ICRS"}
    k = camera.distortion
    if kind == "sip":
        pixel = k * (camera.scale_arcsec / 3600) ** 2
        return cards | {"A_ORDER": 3, "B_ORDER": 3, "A_3_0": pixel, "A_1_2": pixel, "B_2_1": pixel, "B_0_3": pixel}
    if kind == "tpv":
        return cards | {"PV1_1": 1.0, "PV1_7": k, "PV1_9": k, "PV2_1": 1.0, "PV2_7": k, "PV2_9": k}
    return cards | _tnx(k)


def _tnx(k: float) -> Cards:
    """WAT cards: a polynomial of 1, x, x2, x3, y, xy, x2y, y2, xy2, y3 (function 3, order 4, half cross terms) for each axis."""
    cards: Cards = {"WAT0_001": "system=image"}
    for axis, (name, word, places) in enumerate((("ra", "lngcor", (3, 8)), ("dec", "latcor", (6, 9))), 1):
        terms = " ".join(f"{k if i in places else 0.0:.15g}" for i in range(10))
        text = f'wtype=tnx axtype={name} {word} = "3. 4. 4. 2. -1. 1. -1. 1. {terms}"'
        cards |= {f"WAT{axis}_{n + 1:03d}": text[i : i + _WAT_CARD] for n, i in enumerate(range(0, len(text), _WAT_CARD))}
    return cards
