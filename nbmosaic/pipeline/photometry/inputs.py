"""What goes into a photometric fit: images read, grids and units compared, masks put together, parameters fixed, bounded and started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from nbmosaic._types import BoolArray
from nbmosaic.errors import ConfigError, InputError, NbmosaicError, NoOverlapError
from nbmosaic.types.photometry import PARAMETER_NAMES, FitFrame, ParameterSpec, complete_parameters
from nbmosaic.types.regions import RegionList
from nbmosaic.types.sky_image import SkyImage

__all__ = ["FitPair", "Star", "aligned_pair", "combined_mask", "fit_parameters", "fit_regions", "picklable", "read_image", "star_position"]

NO_REGIONS = (None, "", "none")
MARGIN_ARCSEC = 5.0
"""Sky beyond the image that a reference regridded on the way is given: about seven times a usual FWHM."""


class Star(NamedTuple):
    """Where a star is, and the radius of its pixels.

    Attributes
    ----------
    ra, dec : float
        Degrees (ICRS).
    radius : float
        Arcsec.
    """

    ra: float
    dec: float
    radius: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FitPair:
    """Image and reference as a fit takes them.

    Attributes
    ----------
    image : SkyImage
        The image as it was read.
    image_frame, reference_frame : FitFrame
        Pixels of both; the reference may extend beyond the image.
    reference_part : FitFrame
        The reference on the pixels of the image.
    offset : tuple of int
        ``(y, x)``: pixel of the reference on which pixel (0, 0) of the image lies.
    notes : tuple of str
        What was done on the way.
    """

    image: SkyImage
    image_frame: FitFrame
    reference_frame: FitFrame
    reference_part: FitFrame
    offset: tuple[int, int]
    notes: tuple[str, ...] = ()


def picklable(image: SkyImage) -> SkyImage:
    """The image with plain mappings, which can be sent to another process."""
    return image.changed(primary=dict(image.primary), cards=dict(image.cards))


def read_image(item: Any, *, role: str = "image") -> SkyImage:
    """Read an image: a file name, ``CCDData``, ``(array, wcs)``, an mpdaf Image, a product of nbmosaic with pixels and WCS, or a `SkyImage`.

    Parameters
    ----------
    item : object
        The image.
    role : str
        Name of an image in memory that has none.

    Returns
    -------
    SkyImage
    """
    from nbmosaic.io.image_planes import read_sky_image
    from nbmosaic.pipeline.product import Product

    if isinstance(item, SkyImage):
        return item
    if isinstance(item, Product):
        return _of_product(item, role)
    return read_sky_image(item, name="" if isinstance(item, str) else _name_in_memory(item, role))


def _name_in_memory(item: Any, role: str) -> str:
    return "" if getattr(item, "filename", None) or hasattr(item, "__fspath__") else role


def _of_product(product: Any, role: str) -> SkyImage:
    image = getattr(product, "image", None)
    if isinstance(image, SkyImage):
        return image
    wcs, data = getattr(product, "wcs", None), getattr(product, "data", None)
    if wcs is None or data is None or np.ndim(data) != 2:
        raise InputError(f"{type(product).__name__} is no image", hint="give a mosaic, or what regrid, bandpass or read make")
    values = np.asarray(data, np.float64)
    mask, variance = getattr(product, "mask", None), getattr(product, "variance", None)
    bad = ~np.isfinite(values) if mask is None else ~np.isfinite(values) | np.asarray(mask, bool)
    return SkyImage(
        data=values,
        mask=bad,
        wcs=wcs,
        variance=None if variance is None or not np.isfinite(variance).any() else np.asarray(variance, np.float64),
        unit=str(getattr(product, "unit", "") or ""),
        name=role,
    )


def aligned_pair(reference: Any, image: Any, *, extramask: Any = None, any_unit: bool = False, regrid_reference: bool = False) -> FitPair:
    """Read image and reference, and bring them together.

    Parameters
    ----------
    reference, image : object
        As `read_image` takes them.
    extramask : array, image or file, optional
        Pixels of the image to leave out (not zero).
    any_unit : bool
        Whether the two may have different units.
    regrid_reference : bool
        Whether the reference is first brought to the grid of the image, with sky beyond it.

    Returns
    -------
    FitPair

    Raises
    ------
    InputError, NoOverlapError
        Grids that are not aligned, units that differ.
    """
    from nbmosaic.core.geometry.grid_alignment import pixel_steps_arcsec

    sky, target = read_image(reference, role="reference"), read_image(image)
    notes: tuple[str, ...] = ()
    if regrid_reference:
        from nbmosaic.pipeline.photometry.regridding import regrid

        differ = not any_unit and not _same_unit(sky.unit, target.unit)
        made = regrid(sky, target, margin=MARGIN_ARCSEC, rescale=differ)
        sky, notes = made.image, made.notes
    elif not any_unit:
        _check_units(sky, target)
    offset, sky = _on_one_grid(sky, target)
    step = pixel_steps_arcsec(target.wcs, target.shape)
    mask = target.mask if extramask is None else target.mask | _extra(extramask, target)
    whole = FitFrame(data=sky.data, mask=sky.mask, variance=sky.variance, step_arcsec=step, name=sky.name, unit=sky.unit)
    return FitPair(
        image=target,
        image_frame=FitFrame(data=target.data, mask=mask, variance=target.variance, step_arcsec=step, name=target.name, unit=target.unit),
        reference_frame=whole,
        reference_part=_part(whole, offset, target.shape),
        offset=offset,
        notes=notes,
    )


def _part(frame: FitFrame, offset: tuple[int, int], shape: tuple[int, int]) -> FitFrame:
    if offset == (0, 0) and frame.shape == shape:
        return frame
    where = (slice(offset[0], offset[0] + shape[0]), slice(offset[1], offset[1] + shape[1]))
    return replace(
        frame, data=frame.data[where], mask=frame.mask[where], variance=None if frame.variance is None else frame.variance[where]
    )


def _on_one_grid(sky: SkyImage, image: SkyImage) -> tuple[tuple[int, int], SkyImage]:
    """Offset of the reference in whole pixels, and the reference, padded with masked pixels where it does not reach the edges of the image."""
    from nbmosaic.core.psf.alignment import whole_pixel_offset

    offset = whole_pixel_offset(sky.wcs, image.wcs, image.shape)
    if offset is None:
        names = f"{sky.name or 'the reference'} and {image.name or 'the image'}"
        raise InputError(
            f"The pixels of the HST and MUSE images are not aligned. ({names})",
            hint="bring the reference to the grid of the image: regrid(reference, image)",
        )
    (oy, ox), (ny, nx), (my, mx) = offset, image.shape, sky.shape
    if oy >= my or ox >= mx or oy + ny <= 0 or ox + nx <= 0:
        raise NoOverlapError(f"{sky.name or 'the reference'} does not overlap {image.name or 'the image'}", hint="look at their WCS")
    before, after = (max(0, -oy), max(0, -ox)), (max(0, oy + ny - my), max(0, ox + nx - mx))
    if any(before) or any(after):
        pad = ((before[0], after[0]), (before[1], after[1]))
        sky = sky.changed(
            data=np.pad(sky.data, pad),
            mask=np.pad(sky.mask, pad, constant_values=True),
            variance=None if sky.variance is None else np.pad(sky.variance, pad, constant_values=np.nan),
        )
    return (oy + before[0], ox + before[1]), sky


def _same_unit(one: str, other: str) -> bool:
    """Whether two texts mean one unit; True where one of them says nothing."""
    from astropy import units

    from nbmosaic.io.wcs_read import quiet_wcs

    if not one.strip() or not other.strip() or one == other:
        return True
    try:
        with quiet_wcs():  # astropy remarks upon the two slashes of MUSE's own unit
            return bool(abs(units.Unit(one).to(units.Unit(other)) - 1.0) < 1e-6)
    except (ValueError, TypeError, units.UnitsError):
        return False


def _check_units(sky: SkyImage, image: SkyImage) -> None:
    if _same_unit(sky.unit, image.unit):
        return
    raise InputError(
        f"{sky.name or 'the reference'} is in {sky.unit}, {image.name or 'the image'} in {image.unit}",
        hint="rescale it: regrid(reference, image, rescale=True); any_unit=True fits it as it is",
    )


def _extra(item: Any, image: SkyImage) -> BoolArray:
    """Mask from an array, or from an image or a file on the grid of the image."""
    from nbmosaic.core.psf.alignment import grids_aligned
    from nbmosaic.core.psf.masks import extra_mask

    if isinstance(item, str) and item.strip().lower() in NO_REGIONS:
        return np.zeros(image.shape, bool)
    if isinstance(item, np.ndarray):
        return extra_mask(item, image.shape, name="The extra-mask")
    mask = read_image(item, role="the extra mask")
    if not grids_aligned(mask.wcs, mask.shape, image.wcs, image.shape):
        raise InputError(
            f"The pixels of the MUSE and extramask images are not aligned. ({mask.name})", hint="give a mask on the grid of the image"
        )
    return extra_mask(np.where(mask.mask, 1.0, mask.data), image.shape, name=mask.name)


def star_position(star: Any, *, radius: float | None = None) -> Star:
    """Position and radius of a star, from three numbers or an astropy ``SkyCoord``.

    Parameters
    ----------
    star : tuple of float, or SkyCoord
        ``(ra, dec, radius)``, ``(ra, dec)`` with `radius`, a ``SkyCoord`` with `radius`, or ``(SkyCoord, radius)``.
    radius : float, optional
        Arcsec.

    Returns
    -------
    Star

    Raises
    ------
    InputError
        Something else, or a position or radius that makes no sense.
    """
    from nbmosaic.core.psf.masks import star_region

    parts = [star] if hasattr(star, "icrs") or not hasattr(star, "__len__") else list(star)
    if parts and hasattr(parts[0], "icrs"):
        place = parts[0].icrs
        parts = [float(place.ra.deg), float(place.dec.deg), *parts[1:]]
    if radius is not None and len(parts) == 2:
        parts.append(radius)
    elif radius is not None and len(parts) == 3:
        raise InputError("the radius of the star is given twice", hint="give it in star or as radius")
    if len(parts) != 3:
        raise InputError(
            "The star argument should be a tuple of (ra,dec,radius)", hint="degrees, degrees, arcsec; or a SkyCoord with radius=3"
        )
    region = star_region((parts[0], parts[1], parts[2]))
    return Star(region.centre[0], region.centre[1], 3600.0 * region.sizes[0])


def fit_regions(regions: Any, star: Any, notstar: Any) -> RegionList:
    """Regions of a fit: those of a file, with a star alone or without a star.

    Parameters
    ----------
    regions : object
        As `nbmosaic.io.sky_region_files.read_regions` takes them; ``"star"`` and ``"notstar"`` say what `star` means, as in imphot.
    star, notstar : object
        As `star_position` takes them: the circle that is fitted, and the one that is left out.

    Returns
    -------
    RegionList
    """
    from nbmosaic.core.psf.masks import star_region
    from nbmosaic.io.sky_region_files import read_regions

    word = regions.strip().lower() if isinstance(regions, str) else regions
    if isinstance(word, str) and word in {"star", "notstar"}:
        if word == "notstar":
            if star is not None and notstar is not None:
                raise ConfigError('regions="notstar" leaves out star, and notstar is given too', hint="give one of them")
            star, notstar = None, notstar if star is None else star
        regions = None
    found = RegionList() if isinstance(word, str) and word in NO_REGIONS else read_regions(regions)
    circles = []
    for one, exclude in ((star, False), (notstar, True)):
        if one is not None:
            circles.append(star_region((*star_position(one),), exclude=exclude))
    return RegionList(regions=(*found.regions, *circles), ignored=found.ignored, name=found.name)


def combined_mask(pair: FitPair, regions: RegionList, *, segment: bool) -> tuple[BoolArray | None, tuple[str, ...]]:
    """Sky that is not compared, on the pixels of the image, and notes on what was left out.

    Parameters
    ----------
    pair : FitPair
        Image and reference.
    regions : RegionList
        Regions.
    segment : bool
        Also leave out areas in which the reference has no source.
    """
    from nbmosaic.core.psf.masks import PhysicalPixels, mask_without_sources, region_mask

    notes: list[str] = []
    mask: BoolArray | None = None
    if len(regions):
        image = pair.image
        physical = PhysicalPixels.of_header({**image.primary, **image.cards})
        found = region_mask(regions, image.wcs, image.shape, physical=physical, name=image.name or "the image")
        mask = found.mask
        notes.append(f"{np.count_nonzero(mask) / mask.size:.1%} of the pixels are outside of the regions")
        if found.missed:
            first = str(found.missed[0])
            notes.append(f"{len(found.missed)} of {len(regions)} regions hold no pixel of the image, the first: {first}")
    if regions.ignored:
        notes.append(f"regions left out, for they mark no area: {', '.join(regions.ignored[:5])}")
    if segment:
        part = pair.reference_part
        empty = mask_without_sources(part.data, part.mask | ~np.isfinite(part.data))
        notes.append(f"{np.count_nonzero(empty) / empty.size:.1%} of the pixels hold no source and were left out (segment)")
        mask = empty if mask is None else mask | empty
    return mask, tuple(notes)


def fit_parameters(
    fixed: Mapping[str, float | None], *, start: Mapping[str, float | None] | None = None, bounds: Mapping[str, Any] | None = None
) -> dict[str, ParameterSpec]:
    """Parameters of a fit from what is fixed, started and bounded.

    Parameters
    ----------
    fixed : mapping
        Values of fixed parameters; None: free.
    start : mapping, optional
        Start values of free parameters; None: the fit finds its own. A fixed value goes before.
    bounds : mapping, optional
        ``(min, max)`` by parameter; None: no bound on this side.

    Returns
    -------
    dict of str to ParameterSpec
        All six.

    Raises
    ------
    ConfigError
        Unknown names, bounds without room, values that are not finite, or a bound on a fixed parameter.

    Examples
    --------
    >>> fit_parameters({"beta": 2.8}, bounds={"fwhm": (0.3, None)})["fwhm"].min
    0.3
    """
    given = {name: float(value) for name, value in fixed.items() if value is not None}
    begun = {name: float(value) for name, value in (start or {}).items() if value is not None}
    limits = dict(bounds or {})
    for name in (*given, *begun, *limits):
        if name not in PARAMETER_NAMES:
            raise ConfigError(f"there is no parameter {name!r}", hint=f"the parameters are {', '.join(PARAMETER_NAMES)}")
    default = complete_parameters()
    specs: dict[str, ParameterSpec] = {}
    for name in PARAMETER_NAMES:
        if name in given and name in limits:
            raise ConfigError(f"{name} is fixed and has bounds", hint="leave out one of them")
        try:
            if name in given:
                specs[name] = ParameterSpec.at(given[name])
            else:
                low, high = limits.get(name, (None, None))
                least, most = default[name].min, default[name].max
                low, high = (least if low is None else max(float(low), least)), (most if high is None else min(float(high), most))
                specs[name] = ParameterSpec(value=begun.get(name), min=low, max=high)
        except (TypeError, ValueError) as error:
            if isinstance(error, NbmosaicError):
                raise ConfigError(f"{name}: {error.message}", hint=error.hint, option=name) from error
            raise ConfigError(f"the bounds of {name} are {limits.get(name)!r}", hint="give (min, max), None where there is none") from error
    return complete_parameters(specs)
