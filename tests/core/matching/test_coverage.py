import numpy as np
import pytest

from nbmosaic.core.matching import coverage
from nbmosaic.core.matching.coverage import coverage_cells
from nbmosaic.errors import ShapeError
from nbmosaic.types.box import PixelBox


def dense_cells(masks, boxes, step):
    """A cube over the lattice, set by set, moments of all pixels that the samples stand for."""
    y0, x0 = min(b.ymin for b in boxes), min(b.xmin for b in boxes)
    shape = (max(b.ymax for b in boxes) - y0, max(b.xmax for b in boxes) - x0)
    cube = np.zeros((len(boxes), *shape), bool)
    for f, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        cube[f, box.ymin - y0 : box.ymax - y0, box.xmin - x0 : box.xmax - x0] = mask
    out = {}
    inner = np.arange(step) - (step - 1) / 2
    for y, x in np.argwhere(cube.sum(axis=0) >= 3):
        members = tuple(np.flatnonzero(cube[:, y, x]).tolist())
        py, px = np.meshgrid((y + y0) * step + inner, (x + x0) * step + inner, indexing="ij")
        out.setdefault(members, []).append(np.stack([px.ravel(), py.ravel()]))
    found = {}
    for members, parts in out.items():
        px, py = np.concatenate(parts, axis=1)
        dx, dy = px - px.mean(), py - py.mean()
        found[members] = [px.size, px.mean(), py.mean(), dx @ dx, dx @ dy, dy @ dy]
    return found


def random_frames(seed, n=9):
    rng = np.random.default_rng(seed)
    boxes, masks = [], []
    for _ in range(n):
        y, x = rng.integers(-20, 20, 2)
        ny, nx = rng.integers(8, 30, 2)
        boxes.append(PixelBox(int(y), int(y + ny), int(x), int(x + nx)))
        yy, xx = np.mgrid[:ny, :nx]
        masks.append(((yy - ny / 2) ** 2 / (ny / 2) ** 2 + (xx - nx / 2) ** 2 / (nx / 2) ** 2) < 1)
    return masks, boxes


@pytest.mark.parametrize("band_samples", [50, 10**7])
def test_cells_are_those_of_the_dense_cube(monkeypatch, band_samples):
    monkeypatch.setattr(coverage, "_BAND_SAMPLES", band_samples)  # one row a band, or all rows in one
    masks, boxes = random_frames(1)
    cells = coverage_cells(masks, boxes, 4)
    wanted = dense_cells(masks, boxes, 4)
    assert list(cells.members) == sorted(wanted)
    assert max(len(m) for m in wanted) > 3
    np.testing.assert_allclose(cells.moments, [wanted[m] for m in cells.members], rtol=1e-12, atol=1e-7)


def test_order_of_frames_only_renames_them():
    masks, boxes = random_frames(2)
    order = np.random.default_rng(3).permutation(len(boxes))
    one = coverage_cells(masks, boxes, 8)
    two = coverage_cells([masks[k] for k in order], [boxes[k] for k in order], 8)
    renamed = {tuple(sorted(order[list(m)].tolist())): v.tolist() for m, v in zip(two.members, two.moments, strict=True)}
    assert renamed == {m: v.tolist() for m, v in zip(one.members, one.moments, strict=True)}


def test_no_region_where_fewer_than_three_overlap():
    ones = np.ones((5, 5), bool)
    boxes = [PixelBox(0, 5, 0, 5), PixelBox(0, 5, 3, 8), PixelBox(0, 5, 6, 11), PixelBox(0, 0, 0, 0)]
    assert coverage_cells([ones, ones, ones, np.zeros((0, 0), bool)], boxes, 4).members == ()
    assert coverage_cells([], [], 4).members == ()
    with pytest.raises(ShapeError, match="mask 1"):
        coverage_cells([ones, ones[1:], ones], boxes[:3], 4)
