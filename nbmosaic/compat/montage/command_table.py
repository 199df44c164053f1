"""Montage's command lines as a table: usage, options, arguments, and how the answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["COMMANDS", "GROUPS"]

Kind = Literal["text", "int", "float", "number"]


@dataclass(frozen=True, slots=True)
class Option:
    """An option letter: the argument of the function that it sets, and its value (fixed for a plain letter, else of a kind)."""

    name: str
    kind: Kind | Literal["fixed"] = "fixed"
    value: Any = True


@dataclass(frozen=True, slots=True)
class Argument:
    """A word by its place. ``number`` is a float that Montage names in its message."""

    name: str
    kind: Kind = "text"
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One program.

    Attributes
    ----------
    purpose : str
        One line of the help.
    usage : str
        Montage's own, without the name.
    options : mapping
        Letters.
    arguments, optional : tuple of Argument
        Words that must come, and words that may.
    answer : str
        Keys of the line that is printed, each perhaps with a format.
    fixed : mapping
        Arguments of the function that differ from its defaults, as the program's defaults do.
    """

    purpose: str
    usage: str
    options: Mapping[str, Option] = field(default_factory=dict)
    arguments: tuple[Argument, ...] = ()
    optional: tuple[Argument, ...] = ()
    answer: str = ""
    fixed: Mapping[str, Any] = field(default_factory=dict)


def _words(text: str) -> tuple[Argument, ...]:
    """Arguments from ``name`` or ``name:kind`` or ``name:kind:label_with_underscores``."""
    out = []
    for word in text.split():
        name, kind, label = [*word.split(":"), "text", ""][:3] if ":" in word else (word, "text", "")
        out.append(Argument(name, kind, label.replace("_", " ")))  # type: ignore[arg-type]
    return tuple(out)


def _letters(text: str) -> dict[str, Option]:
    """Options from ``n=noAreas`` (sets it True), ``z=factor:float``, ``e=quickmode!`` (sets it False)."""
    out = {}
    for word in text.split():
        letter, _, name = word.partition("=")
        name, _, kind = name.partition(":")
        if kind:
            out[letter] = Option(name, kind)  # type: ignore[arg-type]
        else:
            out[letter] = Option(name.removesuffix("!"), "fixed", not name.endswith("!"))
    return out


_LEVEL = {"d": Option("debug", "int")}
_DEBUG = {"d": Option("debug", "fixed", 1)}
_PROJECT = _letters(
    "z=drizzle:float h=hdu:int x=fluxScale:float w=weight_file:text W=fixedWeight:float t=threshold:float X=expand b=borderstr:text f=fullRegion"
)
_CORNERS = " ".join(f"{axis}{i}:.7f" for i in (1, 2, 3, 4) for axis in ("ra", "dec"))
_SPOT = "flux{0} sigma{0} x{0}:.0f y{0}:.0f ra{0}:.7f dec{0}:.7f"
_EXAMINE = (
    "proj csys equinox:.1f naxis naxis1 naxis2 crval1:.7f crval2:.7f crpix1 crpix2 cdelt1:.7f cdelt2:.7f crota2:.4f lonc:.7f latc:.7f "
    f"ximgsize:.6f yimgsize:.6f rotequ:.4f rac:.7f decc:.7f {_CORNERS} radius:.7f radpix:.2f npixel nnull aveflux rmsflux "
    + " ".join(_SPOT.format(k) for k in ("ref", "min", "max"))
)
_FIT = "a b c crpix1 crpix2 xmin xmax ymin ymax xcenter ycenter npixel:g rms boxx boxy boxwidth boxheight boxang"
_TEMPLATE = "in.fits out.fits hdr.template"
_PROJECT_USAGE = "[-x scale][-w weightfile][-W fixed-weight][-t threshold][-X(expand)][-b border-string]"

COMMANDS: dict[str, Command] = {
    "mGetHdr": Command(
        purpose="header of an image to a text file",
        usage="[-d][-h hdu][-s statusfile] img.fits img.hdr",
        options=_DEBUG | _letters("h=hdu:int H=htmlMode"),
        arguments=_words("infile hdrfile"),
        answer="ncard",
    ),
    "mHdr": Command(
        purpose="header template for a place on the sky (coordinates, no names)",
        usage="[-c system] [-e equinox] [-h height(deg)] [-p pixsize(arcsec)] [-r rotation] [-t 2mass-band] object|location width(deg) outfile "
        "(object/location must be a single argument string)",
        options=_DEBUG | _letters("c=csys:text e=equinox:float h=height:float p=resolution:float r=rotation:float t=band2MASS:text"),
        arguments=_words("locstr width:float outfile"),
        answer="count",
    ),
    "mTANHdr": Command(
        purpose="distorted TAN header that stands for any projection",
        usage="[-d][-o order][-i maxiter][-t tolerance][-s statusfile] orig.hdr new.hdr (default: order = 5, maxiter = 50, tolerance = 0.01)",
        options=_DEBUG | _letters("o=order:int i=maxiter:int t=tolerance:float u=useOffscl"),
        arguments=_words("template tanTemplate"),
        answer="fwdxerr fwdyerr fwditer revxerr revyerr reviter",
    ),
    "mMakeHdr": Command(
        purpose="header template that holds all images of a table",
        usage="[-d level] [-s statusfile] [-p(ixel-scale) cdelt | -P maxpixel] [-e edgepixels] [-n] images.tbl template.hdr [system [equinox]] "
        "(where system = EQUJ|EQUB|ECLJ|ECLB|GAL|SGAL)",
        options=_LEVEL | _letters("p=pixelScale:float P=maxPixel:int e=pad:text") | {"n": Option("northAligned", "fixed", 1)},
        arguments=_words("tblfile template"),
        optional=_words("csys equinox:float"),
        answer="count ncube naxis1 naxis2 clon:.6f clat:.6f lonsize:.6f latsize:.6f posang:.6f "
        + " ".join(f"{axis}{i}:.6f" for i in (1, 2, 3, 4) for axis in ("lon", "lat")),
    ),
    "mImgtbl": Command(
        purpose="table of the images of a folder",
        usage="[-rcCaidbdz][-s statusfile][-f fieldlistfile][-t imglist] directory images.tbl",
        options=_DEBUG
        | _letters(
            "r=recursiveMode c=showCorners C=haveCubes! a=processAreaFiles i=showinfo b=showbad z=noGZIP f=fieldListFile:text t=imgListFile:text"
        ),
        arguments=_words("pathname tblname"),
        answer="count nfile nhdu badfits badwcs",
        fixed={"showCorners": False},
    ),
    "mOverlaps": Command(
        purpose="pairs of images that overlap",
        usage="[-e] [-d level] [-s statusfile] images.tbl diffs.tbl",
        options=_LEVEL | _letters("e=quickmode!"),
        arguments=_words("tblfile difftbl"),
        answer="count",
        fixed={"quickmode": True},
    ),
    "mCoverageCheck": Command(
        purpose="images of a table that touch a region",
        usage="[-d(ebug)][-p path][-s statusfile] in.tbl out.tbl -<mode> <parameters> [where mode can be 'points', 'box', 'circle', 'header', 'point' "
        "or 'cutout'",
        options=_DEBUG | _letters("p=path:text"),
        arguments=_words("infile outfile"),
        answer="count",
    ),
    "mProject": Command(
        purpose="image onto a template, exact overlap of pixels on the sphere",
        usage="[-z factor][-d level][-s statusfile][-h hdu][-x scale][-w weightfile][W fixed-weight][-t threshold][-X(expand)][-b border-string]"
        f"[-e(nergy-mode)][-f(ull-region)] {_TEMPLATE}",
        options=_LEVEL | _PROJECT | _letters("e=energyMode"),
        arguments=_words("input_file output_file template_file"),
        answer="time:.1f",
    ),
    "mProjectPP": Command(
        purpose="image onto a template, plane to plane",
        usage="[-z factor][-d level][-b border][-s statusfile][-o altout.hdr][-i altin.hdr][-h hdu]"
        f"{_PROJECT_USAGE}[-e(nergy-mode)][-f(ull-region)] in.fits out.fits template.hdr",
        options=_LEVEL | _PROJECT | _letters("e=energyMode o=altout:text i=altin:text"),
        arguments=_words("input_file output_file template_file"),
        answer="time:.1f",
    ),
    "mProjectQL": Command(
        purpose="image onto a template by interpolation",
        usage=f"[-d level][-s statusfile][-h hdu]{_PROJECT_USAGE}[-f(ull-region)] {_TEMPLATE}",
        options=_LEVEL | {k: v for k, v in _PROJECT.items() if k != "z"},
        arguments=_words("input_file output_file template_file"),
        answer="time:.1f",
    ),
    "mProjExec": Command(
        purpose="all images of a table onto a template",
        usage="[-q(uick-mode)][-p rawdir] [-d] [-e(xact)] [-X(whole image)] [-b border] [-r restartrec] [-s statusfile] [-W weightColumn] "
        "[-x scaleColumn] images.tbl template.hdr projdir stats.tbl",
        options=_DEBUG
        | _letters(
            "q=quickMode p=path:text e=exact X=wholeImages b=border:text r=restart:int W=weightCol:text x=scaleCol:text f=energyMode"
        ),
        arguments=_words("tblfile template projdir stats"),
        answer="count failed nooverlap",
        fixed={"path": "."},
    ),
    "mDiff": Command(
        purpose="difference of two images",
        usage="[-d level] [-n(o-areas)] [-z factor] [-s statusfile] in1.fits in2.fits out.fits hdr.template",
        options=_LEVEL | _letters("n=noAreas z=factor:float"),
        arguments=_words("input_file1 input_file2 output_file template_file"),
        answer="time:.1f min_pixel max_pixel min_diff max_diff",
    ),
    "mDiffExec": Command(
        purpose="differences of all pairs of a table",
        usage="[-p projdir] [-d] [-n(o-areas)] [-s statusfile] diffs.tbl template.hdr diffdir",
        options=_DEBUG | _letters("p=path:text n=noAreas"),
        arguments=_words("difffile template diffdir"),
        answer="count failed",
        fixed={"path": "."},
    ),
    "mFitplane": Command(
        purpose="plane through a difference",
        usage="[-b border] [-d level] [-s statusfile] [-l(evel-only)] in.fits",
        options=_LEVEL | _letters("b=border:int l=levelOnly"),
        arguments=_words("input_file"),
        answer=_FIT,
    ),
    "mFitExec": Command(
        purpose="planes through all differences of a table",
        usage="[-d] [-l(evel-only)] [-s statusfile] diffs.tbl fits.tbl diffdir",
        options=_DEBUG | _letters("l=levelOnly"),
        arguments=_words("tblfile fitfile diffdir"),
        answer="count failed warning missing",
    ),
    "mDiffFitExec": Command(
        purpose="differences and planes of all pairs of a table",
        usage="[-d] [-l(evel-only)] [-n(o-areas)] [-p projdir] [-s statusfile] diffs.tbl template.hdr diffdir fits.tbl",
        options=_DEBUG | _letters("l=levelOnly n=noAreas p=path:text"),
        arguments=_words("tblfile template diffdir fitfile"),
        answer="count diff_failed fit_failed warning",
        fixed={"path": "."},
    ),
    "mBgModel": Command(
        purpose="background planes of all images from the planes of the pairs",
        usage="[-i niter] [-l(evel-only)] [-d level] [-a(ll-overlaps)] [-s statusfile] images.tbl fits.tbl corrections.tbl",
        options=_LEVEL | _letters("i=niteration:int l=noslope a=useall"),
        arguments=_words("input_file fit_file corr_file"),
    ),
    "mBackground": Command(
        purpose="subtract a plane from an image",
        usage="[-d level] [-n(o-areas)] [-s statusfile] in.fits out.fits A B C | mBackground [-t(able-mode)] [-d level] [-n(o-areas)] [-s statusfile] "
        "in.fits out.fits images.tbl corrfile.tbl",
        options=_LEVEL | _letters("n=noAreas t=table"),
        arguments=_words(
            "input_file output_file A:number:A_coefficient_string B:number:B_coefficient_string C:number:C_coefficient_string"
        ),
        answer="time:.1f",
    ),
    "mBgExec": Command(
        purpose="subtract the planes from all images of a table",
        usage="[-p projdir] [-s statusfile] [-d] [-n(o-areas)] images.tbl corrections.tbl corrdir",
        options=_DEBUG | _letters("p=path:text n=noAreas"),
        arguments=_words("tblfile fitfile corrdir"),
        answer="count nocorrection failed",
        fixed={"path": "."},
    ),
    "mAdd": Command(
        purpose="add all images of a table to a mosaic",
        usage="[-d level] [-p imgdir] [-n(o-areas)] [-a mean|median|count] [-e(xact-size)] [-s statusfile] images.tbl template.hdr out.fits",
        options=_LEVEL | _letters("p=path:text n=haveAreas! a=coadd:text e=shrink!"),
        arguments=_words("tblfile template_file outfile"),
        answer="time:.0f",
        fixed={"path": ".", "haveAreas": True, "shrink": True},
    ),
    "mShrink": Command(
        purpose="fewer and larger pixels",
        usage="[-f(ixed-size)] [-d level] [-h hdu] [-s statusfile] in.fits out.fits factor",
        options=_LEVEL | _letters("f=fixedSize h=hdu:int"),
        arguments=_words("infile output_file shrinkFactor:float:Shrink_factor"),
        answer="time:.1f",
    ),
    "mSubimage": Command(
        purpose="part of an image",
        usage="[-d][-a(ll pixels)][-h hdu][-s statusfile] in.fit out.fit ra dec xsize [ysize] | mSubimage -p [-d][-h hdu][-s statusfile] in.fit out.fit "
        "xstartpix ystartpix xpixsize [ypixsize] | mSubimage -c [-d][-h hdu][-s statusfile] in.fit out.fit",
        options=_DEBUG | _letters("h=hdu:int n=nowcs") | {c: Option("mode", "fixed", v) for c, v in (("p", 1), ("a", 2), ("c", 3))},
        arguments=_words("infile outfile ra:float dec:float xsize:float"),
        optional=_words("ysize:float"),
        answer="content",
    ),
    "mFixNaN": Command(
        purpose="NaN to a value, or ranges of values to NaN",
        usage="[-b(oundary-check)][-d level][-v NaN-value] in.fits out.fits [minblank maxblank] (output file name '-' means no file; min/max ranges can be "
        "repeated and can be the words 'min' and 'max')",
        options=_LEVEL | _letters("b=boundaries v=NaNvalue:float"),
        arguments=_words("input_file output_file"),
        answer="rangeCount nanCount boundaryCount",
    ),
    "mExamine": Command(
        purpose="header and pixels of an image in numbers",
        usage="[-d][-p ra dec radius | -a ra dec] image.fits",
        options=_DEBUG | _letters("p=region a=photometry h=hdu:int"),
        arguments=_words("infile"),
        answer=_EXAMINE,
    ),
    "mHistogram": Command(
        purpose="histogram of an image and its stretch",
        usage="[-d] -file in.fits minrange maxrange [logpower/gaussian/gaussian-log/asinh [asinh-beta]] -out out.hist",
        answer="min=minval minpercent:.2f minsigma:.2f max=maxval maxpercent:.2f maxsigma:.2f datamin datamax",
    ),
    "mViewer": Command(purpose="picture of one or three images, with overlays", usage="", answer=""),
}

GROUPS: dict[str, tuple[str, ...]] = {
    "headers and tables": ("mGetHdr", "mHdr", "mTANHdr", "mMakeHdr", "mImgtbl", "mOverlaps", "mCoverageCheck"),
    "projection": ("mProject", "mProjectPP", "mProjectQL", "mProjExec"),
    "background": ("mDiff", "mDiffExec", "mFitplane", "mFitExec", "mDiffFitExec", "mBgModel", "mBackground", "mBgExec"),
    "mosaics and images": ("mAdd", "mShrink", "mSubimage", "mFixNaN", "mExamine", "mHistogram", "mViewer"),
}
"""Programs by purpose, for the help."""
