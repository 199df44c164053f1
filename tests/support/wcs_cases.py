"""WCSs of many kinds, and astropy's own pixel-to-pixel map as the slow twin."""

from __future__ import annotations

import warnings

import numpy as np
from astropy import units as u
from astropy.coordinates import FK4, FK5, ICRS, BarycentricMeanEcliptic, Galactic, SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from astropy.wcs import WCS, FITSFixedWarning, Sip

AXES = {
    "icrs": ("RA--", "DEC-", "ICRS", None),
    "fk5": ("RA--", "DEC-", "FK5", 2000.0),
    "fk4": ("RA--", "DEC-", "FK4", 1950.0),
    "galactic": ("GLON", "GLAT", "", None),
    "ecliptic": ("ELON", "ELAT", "", 2000.0),
}


FRAMES = {
    "icrs": ICRS(),
    "fk5": FK5(equinox="J2000"),
    "fk4": FK4(equinox="B1950"),
    "galactic": Galactic(),
    "ecliptic": BarycentricMeanEcliptic(equinox="J2000"),
}


def centre_in(system, ra, dec):
    """ICRS position in another system, degrees."""
    sky = SkyCoord(ra * u.deg, dec * u.deg).transform_to(FRAMES[system]).spherical
    return float(sky.lon.deg), float(sky.lat.deg)


def plain_wcs(projection, centre, scale_deg, shape, *, rotation=0.0, system="icrs", crpix=None, latitude_first=False):
    """WCS with its reference pixel in the middle of `shape`, rotated as by CROTA2."""
    lon, lat, radesys, equinox = AXES[system]
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    cd = scale_deg * np.array([[-cos, -sin], [-sin, cos]])
    wcs = WCS(naxis=2)
    order = [1, 0] if latitude_first else [0, 1]
    wcs.wcs.ctype = [(f"{lon}-{projection}", f"{lat}-{projection}")[k] for k in order]
    wcs.wcs.crval = np.array(centre, float)[order]
    wcs.wcs.cd = cd[order]
    wcs.wcs.cunit = ["deg", "deg"]
    wcs.wcs.crpix = crpix or [(shape[1] + 1) / 2, (shape[0] + 1) / 2]
    wcs.wcs.radesys = radesys
    if equinox is not None:
        wcs.wcs.equinox = equinox
    wcs.wcs.set()
    return wcs


def sip_wcs(centre, scale_deg, shape, *, rotation=0.0, strength=1.5, seed=1, system="icrs"):
    """TAN-SIP whose cubic distortion moves the edge of the frame by about `strength` pixels."""
    wcs = plain_wcs("TAN", centre, scale_deg, shape, rotation=rotation, system=system)
    rng = np.random.default_rng(seed)
    half = max(shape) / 2
    a, b = np.zeros((4, 4)), np.zeros((4, 4))
    for p in range(4):
        for q in range(4):
            if 2 <= p + q <= 3:
                a[p, q], b[p, q] = rng.uniform(-strength, strength, 2) / half ** (p + q)
    wcs.wcs.ctype = [name + "-SIP" for name in wcs.wcs.ctype]
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def tpv_wcs(centre, scale_deg, shape, *, ctype="TPV"):
    """TPV (or TAN with PV, as SCAMP once wrote it) with terms like those of a wide camera."""
    header = plain_wcs("TAN", centre, scale_deg, shape, rotation=25.0).to_header()
    header["CTYPE1"], header["CTYPE2"] = f"RA---{ctype}", f"DEC--{ctype}"
    terms = {0: 1e-5, 1: 1.002, 2: 3e-4, 4: 2e-3, 5: -1e-3, 6: 5e-4, 7: -3e-2, 8: 1e-2, 9: -2e-2, 10: 5e-3}
    for k, value in terms.items():
        header[f"PV1_{k}"] = value
        header[f"PV2_{k}"] = value * (1.0 if k == 1 else 0.8)
    return quiet_wcs(header)


def quiet_wcs(header):
    """WCS of a header without astropy's notes on what it fixed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def header_wcs(path):
    """WCS and shape (200 x 200 if it has none) of a header stored as text, one card a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        header = fits.Header.fromstring(path.read_text(), sep="\n")
        return quiet_wcs(header), (int(header.get("NAXIS2", 200)), int(header.get("NAXIS1", 200)))


def astropy_frame(wcs):
    """Frame of a WCS made by this module (galactic and ecliptic by CTYPE, the others by RADESYS)."""
    prefix = wcs.wcs.ctype[wcs.wcs.lng][:4]
    name = {"GLON": "galactic", "ELON": "ecliptic"}.get(prefix, wcs.wcs.radesys.lower() or "icrs")
    return FRAMES[name]


def astropy_map(source, target, x, y):
    """Target positions ``(u, v)`` of source positions by astropy alone, every point by itself; NaN where undefined."""
    shape = np.shape(x)
    world = source.all_pix2world(np.ravel(x), np.ravel(y), 0)
    lon, lat = world[source.wcs.lng], world[source.wcs.lat]
    good = np.isfinite(lon) & np.isfinite(lat)
    out = np.full((2, lon.size), np.nan)
    if good.any():
        sky = SkyCoord(lon[good] * u.deg, lat[good] * u.deg, frame=astropy_frame(source)).transform_to(astropy_frame(target))
        pair = [sky.spherical.lon.deg, sky.spherical.lat.deg]
        pair = pair if target.wcs.lng == 0 else pair[::-1]
        out[:, good] = target.all_world2pix(*pair, 0, tolerance=1e-8, maxiter=60, quiet=True)
    return out.reshape(2, *shape)


def on_image(u_pix, v_pix, shape):
    """Which positions lie on an image, edges of the outer pixels included."""
    with np.errstate(invalid="ignore"):
        return (u_pix >= -0.5) & (u_pix <= shape[1] - 0.5) & (v_pix >= -0.5) & (v_pix <= shape[0] - 0.5)
