import numpy as np
import pytest
from support.wcs_cases import astropy_map, centre_in, on_image, plain_wcs, sip_wcs, tpv_wcs

from nbmosaic.core.geometry.boxes import frame_box, frame_extent
from nbmosaic.types import PixelBox

SKY = (200, 400)
SHAPE = (90, 120)


def brute_force(grid, grid_shape, frame, shape):
    """Box of the grid pixels whose centre falls on the frame."""
    y, x = np.mgrid[0 : grid_shape[0], 0 : grid_shape[1]].astype(float)
    rows, columns = np.nonzero(on_image(*astropy_map(grid, frame, x, y), shape))
    return PixelBox(int(rows.min()), int(rows.max()) + 1, int(columns.min()), int(columns.max()) + 1) if len(rows) else None


WHOLE = {
    "tan": plain_wcs("TAN", (10.0, 20.0), 0.01, SHAPE, rotation=25),
    "sip": sip_wcs((10.0, 20.0), 0.01, SHAPE, rotation=70, strength=6.0),
    "tpv": tpv_wcs((10.0, 20.0), 0.01, SHAPE),
    "galactic": plain_wcs("TAN", centre_in("galactic", 10.0, 20.0), 0.01, SHAPE, rotation=25, system="galactic"),
    "coarse": plain_wcs("SIN", (10.0, 20.0), 0.2, (6, 4), rotation=25),
    "fine": plain_wcs("SIN", (10.0, 20.0), 0.0005, (2000, 1000), rotation=25),
    "thin": plain_wcs("SIN", (10.0, 20.0), 0.01, (1, 150), rotation=25),
}


@pytest.mark.parametrize("case", WHOLE)
def test_boxes_of_whole_frames_are_tight(case):
    grid_shape = (240, 260)
    grid = plain_wcs("TAN", (10.1, 20.1), 0.01, grid_shape)
    frame = WHOLE[case]
    shape = {"coarse": (6, 4), "fine": (2000, 1000), "thin": (1, 150)}.get(case, SHAPE)
    box, true = frame_box(grid, frame, shape), brute_force(grid, grid_shape, frame, shape)
    assert box.intersection(true) == true
    slack = [true.ymin - box.ymin, box.ymax - true.ymax, true.xmin - box.xmin, box.xmax - true.xmax]
    assert max(slack) <= 2


@pytest.mark.parametrize("projection", ["CAR", "AIT", "MOL", "ZEA", "TAN", "SIN", "HPX"])
@pytest.mark.parametrize("where", [(180.0, 10.0), (0.0, 0.0), (30.0, 89.0), (200.0, -88.0), (90.0, 45.0), (179.0, -89.9)])
@pytest.mark.parametrize("scale", [0.05, 0.4])
def test_boxes_hold_every_pixel_of_the_sky(projection, where, scale):
    grid = plain_wcs(projection, (0.0, 0.0), 0.9, SKY)
    frame = plain_wcs("TAN", where, scale, SHAPE, rotation=33)
    box = frame_box(grid, frame, SHAPE, grid_shape=SKY)
    true = brute_force(grid, SKY, frame, SHAPE)
    if true is None:
        return
    assert box is not None
    assert box.intersection(true) == true


@pytest.mark.parametrize("grid_projection", ["CAR", "AIT", "TAN", "ZEA"])
@pytest.mark.parametrize("frame_projection", ["CAR", "AIT", "ZEA"])
def test_boxes_of_all_sky_frames(grid_projection, frame_projection):
    grid = plain_wcs(grid_projection, (0.0, 0.0), 0.9, SKY)
    frame = plain_wcs(frame_projection, (0.0, 0.0), 2.0, (90, 180), system="galactic")
    box, true = frame_box(grid, frame, (90, 180), grid_shape=SKY), brute_force(grid, SKY, frame, (90, 180))
    assert box.intersection(true) == true
    assert box.shape[0] <= SKY[0] + 2 * max(SKY)
    assert box.shape[1] <= 3 * max(SKY)


def test_right_ascension_zero_is_nothing_special():
    shape = (60, 80)
    boxes = []
    for ra in (120.0, 0.0):
        grid = plain_wcs("TAN", (ra, 10.0), 0.01, (200, 200))
        frame = plain_wcs("TAN", ((ra - 0.1) % 360, 10.05), 0.01, shape, rotation=10)
        boxes.append(frame_box(grid, frame, shape))
    assert boxes[0] == boxes[1]


def test_frames_behind_the_grid_and_empty_frames_have_no_box():
    grid = plain_wcs("TAN", (0.0, 0.0), 0.01, (300, 300))
    assert frame_box(grid, plain_wcs("TAN", (180.0, 0.0), 0.01, SHAPE), SHAPE) is None
    assert frame_box(grid, plain_wcs("TAN", (0.0, 0.0), 0.01, SHAPE), (0, 5)) is None


def test_a_frame_that_holds_the_whole_grid():
    grid = plain_wcs("TAN", (0.0, 0.0), 0.01, (300, 300))
    frame = plain_wcs("TAN", (1.0, 1.0), 0.01, (3000, 3000), rotation=30)
    box = frame_box(grid, frame, (3000, 3000))
    assert box.intersection(PixelBox.of_shape((300, 300))) == PixelBox.of_shape((300, 300))
    assert 3000 < box.shape[0] < 3000 * 1.5


def test_boxes_may_reach_beyond_the_grid_or_be_limited():
    grid = plain_wcs("TAN", (0.0, 0.0), 0.01, (300, 300))
    frame = plain_wcs("TAN", (1.5, 0.0), 0.01, SHAPE)
    box = frame_box(grid, frame, SHAPE)
    assert box.xmin < 0
    assert frame_box(grid, frame, SHAPE, within=PixelBox(0, 300, 0, 300)) == box.intersection(PixelBox(0, 300, 0, 300))
    assert frame_box(grid, frame, SHAPE, within=PixelBox(900, 999, 900, 999)) is None


def test_a_frame_across_the_horizon_is_limited_by_its_size():
    grid = plain_wcs("TAN", (0.0, 0.0), 0.1, (500, 500))
    frame = plain_wcs("TAN", (60.0, 20.0), 0.1, (800, 800))
    box = frame_box(grid, frame, (800, 800), grid_shape=(500, 500))
    assert max(box.shape) <= 1500
    true = brute_force(grid, (500, 500), frame, (800, 800))
    assert box.intersection(true) == true


def test_extent_is_that_of_the_outer_edges():
    grid = plain_wcs("TAN", (10.0, 20.0), 0.01, (200, 200))
    frame = plain_wcs("TAN", (10.0, 20.0), 0.01, (50, 80))
    extent = frame_extent(grid, frame, (50, 80))
    np.testing.assert_allclose(extent, (99.5 - 25, 99.5 + 25, 99.5 - 40, 99.5 + 40), atol=1e-6)
    assert frame_extent(grid, plain_wcs("TAN", (190.0, -20.0), 0.01, SHAPE), SHAPE) is None
