"""The images that a view shows: loaded when they are first looked at, reduced once, kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nbmosaic._types import AnyArray, Float32Array
from nbmosaic.core.pyramid import Pyramid, make_pyramid
from nbmosaic.errors import ConfigError, InputError
from nbmosaic.pipeline.camera.product import MosaicExposure
from nbmosaic.pipeline.products import Corrected, Mosaic, Projected
from nbmosaic.types import PixelBox

if TYPE_CHECKING:
    from astropy.wcs import WCS

    from nbmosaic.pipeline.run import Run

__all__ = ["LayerMemory", "LayeredGrid", "ViewLayer", "layers_of"]

T = TypeVar("T")

_PYRAMIDS = 6  # a mosaic of 10 000 x 10 000 pixels with its levels has 450 MB; frames come back from their store
_PICTURES = 64  # of 1 MB: a blink through that many frames reads each once


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewLayer:
    """An image on the grid of a view.

    Attributes
    ----------
    name : str
        For lists.
    box : PixelBox
        Pixels of the grid that it covers.
    load : callable
        Gives its pixels.
    unit : str
        Their unit.
    """

    name: str
    box: PixelBox
    load: Callable[[], AnyArray]
    unit: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class LayeredGrid:
    """Images on one grid.

    Attributes
    ----------
    layers : tuple of ViewLayer
        The images; the first one sets the limits of the stretch for all.
    shape : tuple of int
        ``(ny, nx)`` of the grid.
    wcs : astropy.wcs.WCS, optional
        Its coordinates.
    """

    layers: tuple[ViewLayer, ...]
    shape: tuple[int, int]
    wcs: WCS | None = None


class LayerMemory:
    """What views of the same layers share: pyramids and pictures that were made before."""

    def __init__(self, layers: Sequence[ViewLayer]) -> None:
        self._layers = tuple(layers)
        self._pyramids: OrderedDict[Hashable, Pyramid] = OrderedDict()
        self._pictures: OrderedDict[Hashable, Any] = OrderedDict()

    def pyramid(self, index: int) -> Pyramid:
        """A layer with its coarser levels."""
        return _kept(self._pyramids, index, _PYRAMIDS, lambda: self._load(index))

    def _load(self, index: int) -> Pyramid:
        layer = self._layers[index]
        data = layer.load()
        if tuple(data.shape) != layer.box.shape:
            raise InputError(f"{layer.name} has the shape {data.shape}, its place on the grid {layer.box.shape}")
        return make_pyramid(data)

    def reduced(self, index: int, left: float, bottom: float, step: float, shape: tuple[int, int]) -> Float32Array:
        """Part of a layer at the scale of a view, see `Pyramid.view`; positions are those of the grid."""
        box = self._layers[index].box
        key = (index, left, bottom, step, shape)
        return self.once(key, lambda: self.pyramid(index).view(left - box.xmin, bottom - box.ymin, step, shape))

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for this key before, or is made now."""
        return _kept(self._pictures, key, _PICTURES, make)


def _kept(memory: OrderedDict[Hashable, T], key: Hashable, size: int, make: Callable[[], T]) -> T:
    """A value of a memory that forgets what was used longest ago."""
    if key not in memory:
        memory[key] = make()
        while len(memory) > size:
            memory.popitem(last=False)
    memory.move_to_end(key)
    return memory[key]


def layers_of(product: Any, *, wcs: WCS | None = None) -> LayeredGrid:
    """Images that a product has to show.

    Parameters
    ----------
    product : Run, Mosaic, Projected, Corrected, MosaicExposure, ndarray, sequence or mapping
        Of a run: its mosaics, the mosaic without background matching, and the single frames. Of a sequence, or a mapping of names: each of
        them, all of one shape.
    wcs : astropy.wcs.WCS, optional
        Coordinates of arrays.

    Raises
    ------
    ConfigError
        There is nothing to show.
    InputError
        Images of different shapes.
    """
    from nbmosaic.pipeline.run import Run

    if isinstance(product, Run):
        return _of_run(product)
    if isinstance(product, Projected | Corrected):
        return _of_frames(product)
    if isinstance(product, Mapping):
        return _together([_of_image(item, str(name), wcs) for name, item in product.items()])
    if isinstance(product, Sequence) and not isinstance(product, str):
        return _together([_of_image(item, f"image {number}", wcs) for number, item in enumerate(product, 1)])
    return _of_image(product, "mosaic" if isinstance(product, Mosaic) else "image", wcs)


def _of_image(image: Any, name: str, wcs: WCS | None) -> LayeredGrid:
    data = getattr(image, "data", None) if isinstance(image, Mosaic | MosaicExposure) else image
    if not isinstance(data, np.ndarray):
        raise ConfigError(f"{type(image).__name__} cannot be viewed", hint="view a run, a mosaic, frames, or arrays of two axes")
    if data.ndim != 2 or not data.size or data.dtype.kind not in "fiub":
        raise InputError(f"{name} is an array of {data.dtype} with the shape {data.shape}", hint="a view needs numbers on two axes")
    shape = (int(data.shape[0]), int(data.shape[1]))
    layer = ViewLayer(name=name, box=PixelBox.of_shape(shape), load=lambda: data, unit=str(getattr(image, "unit", "") or ""))
    return LayeredGrid(layers=(layer,), shape=shape, wcs=getattr(image, "wcs", wcs))


def _together(grids: Sequence[LayeredGrid]) -> LayeredGrid:
    if not grids:
        raise ConfigError("there is nothing to view", hint="give one image at least")
    first = grids[0]
    for grid in grids[1:]:
        if grid.shape != first.shape:
            names = f"{first.layers[0].name} and {grid.layers[0].name}"
            raise InputError(f"{names} have the shapes {first.shape} and {grid.shape}", hint="views need images on one grid")
    return LayeredGrid(layers=tuple(layer for grid in grids for layer in grid.layers), shape=first.shape, wcs=first.wcs)


def _of_run(run: Run) -> LayeredGrid:
    mosaics = {id(product): (name, product) for name, product in {**run.named, **run.products}.items() if isinstance(product, Mosaic)}
    frames = run.latest((Corrected,)) or run.latest((Projected,))
    grids = [_of_image(product, "mosaic" if name == "coadd" else name, None) for name, product in reversed(mosaics.values())]
    if isinstance(frames, Projected | Corrected):
        of_frames = _of_frames(frames, combine=next((m.combine for _, m in reversed(mosaics.values())), "mean"))
        if not grids or of_frames.shape == grids[0].shape:  # a mosaic that was cut or shrunk has another grid than the frames
            grids.append(of_frames)
    if not grids:
        raise ConfigError(f"{run.name} has nothing to view", hint="add a line `project` or `coadd` to the cell")
    return _together([grid for grid in grids if grid.shape == grids[0].shape])


def _of_frames(frames: Projected | Corrected, *, combine: str = "") -> LayeredGrid:
    """The single frames; with `combine`, before them the mosaic of the frames as they were before matching, if they were matched."""
    from nbmosaic.views.labels import short_names

    projected = frames.projected if isinstance(frames, Corrected) else frames
    grid = projected.grid
    names = short_names([projected.frames.infos[info.index].name for info in projected.infos], 32)
    layers = [
        ViewLayer(
            name=f"frame {info.index}: {name}",
            box=info.box,
            load=lambda index=info.index: frames.frame(index).data,  # type: ignore[misc]
            unit=projected.unit,
        )
        for info, name in zip(projected.infos, names, strict=True)
        if not info.box.empty
    ]
    if combine and isinstance(frames, Corrected):
        before = ViewLayer(name="before matching", box=grid.box, load=lambda: _unmatched(projected, combine), unit=projected.unit)
        layers.insert(0, before)
    if not layers:
        raise ConfigError("there is no frame to view")
    return LayeredGrid(layers=tuple(layers), shape=grid.shape, wcs=grid.wcs)


def _unmatched(projected: Projected, combine: Any) -> AnyArray:
    from nbmosaic.pipeline.image_stages import coadd

    return coadd(projected, combine=combine).data
