"""DS9 regions as imphot reads them, and those that it passes over."""

from __future__ import annotations

import pytest

from nbmosaic.compat import imphot
from nbmosaic.compat.imphot.ds9regions import Ds9Box, Ds9Circle, Ds9Ellipse, Ds9Region, Ds9Regions
from nbmosaic.errors import NbmosaicWarning


def told(record):
    """What imphot says of a region; it holds degrees with the rounding of its own arithmetic."""
    return {key: (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value) for key, value in record.items() if key != "str"}


def attributes(region):
    return dict(vars(region).items())


def test_regions_that_imphot_knows(golden):
    record = golden.results["ds9/all"]
    with pytest.warns(NbmosaicWarning, match="text"):
        found = Ds9Regions(record["lines"])
    known = [one for one in found if isinstance(one, Ds9Circle | Ds9Box | Ds9Ellipse)]
    # imphot does not know '+' and capitals, which DS9 does: circle(53,-27,1") and circle(1,2,3) are more
    extra = [one for one in known if str(one) not in [each["str"] for each in record["parsed"]]]
    assert [str(one) for one in extra] == [
        "include fk5 circle x: 53.000000  y: -27.000000  r: 0.000277778",
        "include fk5 circle x: 1.000000  y: 2.000000  r: 3",
    ]
    same = [one for one in known if one not in extra]
    assert [str(one) for one in same] == [each["str"] for each in record["parsed"]]
    for one, each in zip(same, record["parsed"], strict=True):
        assert attributes(one) == told(each)
    others = [one.shape for one in found if one not in known]
    assert others == ["polygon", "annulus"]


def test_a_sequence(golden):
    found = Ds9Regions(golden.path("exclude_stars.reg"))
    assert len(found) == 3
    assert found[0] is next(iter(found))
    assert found[-1] is found[2]
    assert found[1:] == (found[1], found[2])
    assert [str(one) for one in found] == [str(one) for one in found]
    assert all(one.exclude and one.system == "fk5" for one in found)
    line = 'fk5; -circle(53.157969, -27.769193, 2.5")'
    assert [str(one) for one in Ds9Regions([line])] == [one["str"] for one in golden.results[f"ds9/{line}"]]
    assert "exclude fk5 circle" in repr(found[0])
    assert len(Ds9Regions([])) == 0


def test_constructors():
    circle = Ds9Circle(True, "fk5", 53.1, -27.7, 0.001)
    assert (circle.shape, circle.exclude, circle.system, circle.x, circle.y, circle.radius) == ("circle", True, "fk5", 53.1, -27.7, 0.001)
    for cls, shape in ((Ds9Ellipse, "ellipse"), (Ds9Box, "box")):
        one = cls(False, "physical", 1.0, 2.0, 3.0, 4.0, 30.0)
        assert (one.shape, one.width, one.height, one.pa) == (shape, 3.0, 4.0, 30.0)
        assert str(one) == f"include physical {shape} x: 1.000000  y: 2.000000  w: 3  h: 4  PA: 30"
        assert isinstance(one, Ds9Region)
    assert str(Ds9Region("circle", False, "fk5", 1.0, 2.0)) == "include fk5 circle x: 1.000000  y: 2.000000"


@pytest.mark.parametrize("line", ["circle(1,2)", "circle(a,2,3)", "box(1,2,3,4)"])
def test_mistakes_are_user_errors_with_line_and_column(golden, line):
    """imphot ends with errors of Python 2 (D4)."""
    assert golden.results[f"ds9/{line}"]["error"] in {"AttributeError", "IndexError"}
    with pytest.raises(imphot.UserError, match=r"Region parsing error: .*line 2, column \d+"):
        Ds9Regions(["fk5", line])


def test_what_is_not_supported_is_named(tmp_path):
    """D18: imphot passes over it."""
    with pytest.raises(imphot.UserError, match="panda"):
        Ds9Regions(["fk5; panda(53.1,-27.7,0,360,4,1,3,1)"])
    with pytest.raises(imphot.UserError, match="linear"):
        Ds9Regions(["linear; circle(1,2,3)"])
    with pytest.raises(imphot.UserError) as caught:
        Ds9Regions(str(tmp_path / "no.reg"))
    assert str(caught.value) == f"Region file error, [Errno 2] No such file or directory: '{tmp_path / 'no.reg'}'"


def test_systems_that_imphot_ignores_hold_in_fits(golden):
    """D18, D17: the same circle in fk5, icrs, galactic and in pixels, sizes in arcsec."""
    from astropy.coordinates import SkyCoord

    ra, dec, radius = golden.star(0)
    place = SkyCoord(ra, dec, unit="deg", frame="icrs")
    x, y = golden.image("hst").wcs.world_to_pixel(place)
    lines = [
        f'icrs; -circle({ra}, {dec}, {radius}")',
        f'galactic; -circle({place.galactic.l.deg}, {place.galactic.b.deg}, {radius}")',
        f'image; -circle({x + 1}, {y + 1}, {radius}")',
        f"physical; -circle({x + 1}, {y + 1}, {radius / 0.2})",
        f'fk5; -annulus({place.fk5.ra.deg}, {place.fk5.dec.deg}, 0.001", {radius}")',
    ]
    fits = [imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), regions=[line], fix_beta=2.8) for line in lines]
    everywhere = imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), fix_beta=2.8)
    for fit in fits:
        assert fit.summary(False) == fits[0].summary(False)
    assert abs(fits[0].scale.value - everywhere.scale.value) > 0.5 * everywhere.scale.stdev
    kept = Ds9Regions(lines[:1])
    assert imphot.fit_image_photometry(golden.image("hst"), golden.image("dev1"), regions=kept, fix_beta=2.8).summary(False) == fits[
        0
    ].summary(False)
