"""Stages on mosaics and files: add up, cut out, shrink, read, save, show."""

from __future__ import annotations

from nbmosaic.errors import ConfigError
from nbmosaic.pipeline.choices import Combine, Weight
from nbmosaic.pipeline.execution import Progress, stage_execution
from nbmosaic.pipeline.products import Corrected, Frames, Grid, Mosaic, Product, Projected, Table
from nbmosaic.pipeline.recipe import choose

__all__ = ["coadd", "cutout", "read", "save", "show", "shrink"]


def coadd(
    frames: Corrected | Projected,
    *,
    combine: Combine = "mean",
    weight: Weight | None = None,
    kappa: float = 3.0,
    output: str | None = None,
    overwrite: bool = False,
    jobs: int = 0,
    max_memory: float | str | None = None,
    scratch: str | None = None,
    progress: Progress | None = None,
) -> Mosaic:
    """Add the frames up to a mosaic, in bands of rows.

    Parameters
    ----------
    frames : Corrected or Projected
        The frames.
    combine : {"mean", "median", "clipped", "sum", "min", "max", "first", "count"}
        How the values of a pixel are combined; ``clipped`` is the mean of what lies within `kappa` standard deviations of the median.
    weight : {"area", "none", "weight", "variance"}, optional
        Weights of mean, clipped and sum: covered fraction of the pixel, none, weight planes, inverse variance; default: the covered fraction for
        mean and clipped, else none.
    kappa : float
        Clipping limit of ``clipped``.
    output : str, optional
        Write the mosaic straight to this FITS file.
    overwrite : bool
        Replace an existing file.
    jobs : int
        Threads; 0: as many as the work is worth, at most all processors; negative: all processors but that many.
    max_memory : float or str, optional
        Pixel data held at once, bytes or a text such as 500MB; a mosaic that is larger lives in a file.
    scratch : str, optional
        Folder for scratch files.
    progress : Progress, optional
        Told of every finished band.

    Returns
    -------
    Mosaic
        Image, coverage, number of frames and, if every frame has one, variance.
    """
    from nbmosaic.pipeline.assembly import assemble
    from nbmosaic.pipeline.coadding import CoaddOptions

    if kappa != CoaddOptions.kappa and combine != "clipped":
        raise ConfigError(f"kappa cannot be used with combine={combine!r}", hint="it is the limit of combine='clipped'", option="kappa")
    options = CoaddOptions(
        combine=choose(combine, Combine.__args__, option="combine"),  # type: ignore[attr-defined]
        weighting=None if weight is None else choose(weight, Weight.__args__, option="weight"),  # type: ignore[attr-defined]
        kappa=kappa,
    )
    return assemble(
        frames, options=options, output=output, overwrite=overwrite, execution=stage_execution(jobs, None, max_memory, scratch, progress)
    )


def cutout(mosaic: Mosaic, ra: float, dec: float, size_arcsec: float, height_arcsec: float | None = None) -> Mosaic:
    """Part of a mosaic round a position.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    ra, dec : float
        Centre in degrees, in the system of the mosaic.
    size_arcsec : float
        Width (and height) in arcsec.
    height_arcsec : float, optional
        Height in arcsec, if it differs.

    Returns
    -------
    Mosaic
        The part; pixels beyond the mosaic are not added.
    """
    from nbmosaic.pipeline.reshape import cut

    return cut(mosaic, ra, dec, size_arcsec, height_arcsec if height_arcsec is not None else size_arcsec)


def shrink(mosaic: Mosaic, factor: int) -> Mosaic:
    """Block average: every `factor` x `factor` pixels become one, weighted by their coverage.

    Parameters
    ----------
    mosaic : Mosaic
        The mosaic.
    factor : int
        Block size, 2 or more.

    Returns
    -------
    Mosaic
        The smaller mosaic; the pixel scale is `factor` times larger.
    """
    from nbmosaic.pipeline.reshape import block_mean

    return block_mean(mosaic, factor)


def read(path: str) -> Frames | Grid | Table:
    """A table, a header template or a FITS image from a file.

    Parameters
    ----------
    path : str
        ``.tbl``, ``.csv``, ``.ecsv``: a table; ``.hdr``, ``.txt``: a header template; anything else: FITS.

    Returns
    -------
    Table, Grid or Frames
        A fits table is what `background` takes.
    """
    from nbmosaic.pipeline.files import read_file

    return read_file(path)


def save(product: Product, path: str, *, overwrite: bool = False) -> Product:
    """Write a product to a file.

    Parameters
    ----------
    product : Product
        A mosaic (``.fits``, or ``.png`` for its picture), a grid (``.hdr``), or anything with a table (``.tbl``, ``.csv``, ``.ecsv``).
    path : str
        The file.
    overwrite : bool
        Replace an existing file.

    Returns
    -------
    Product
        The same product.
    """
    from nbmosaic.pipeline.files import save_product

    return save_product(product, path, overwrite=overwrite)


def show(product: Product, *, kind: str | None = None, width: int = 8) -> Product:
    """A picture of a product.

    Parameters
    ----------
    product : Product
        What to show.
    kind : str, optional
        Which picture; default: the one that suits the product. A mosaic has ``image``, ``equalised`` (a gaussian-log stretch, faint and
        bright parts at once) and ``coverage``; a mosaic exposure ``image`` and ``mask``; a background ``planes``, ``network``,
        ``errors``, ``residuals`` and, of few frames, ``planes3d``; overlaps have ``network``; frames ``footprints``, and once they are projected
        ``coverage``, too.
    width : int
        Width of the figure in inches.

    Returns
    -------
    Picture
        Draws itself in a notebook; `Picture.save` writes a PNG.
    """
    from nbmosaic.pipeline.quicklook import picture

    return picture(product, kind=kind, width=width)
