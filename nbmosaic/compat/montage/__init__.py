"""Montage's functions by their own names: argument names, files, tables and answers as MontagePy 2.3.0 has them.

>>> from nbmosaic.compat.montage import mBgModel

Every function answers with a dictionary (``{'status': '0', ...}``, or ``{'status': '1', 'msg': b'...'}``) and raises nothing. Each is loaded when it is first
used. A batch (``mProjExec``, ``mDiffExec``, ``mFitExec``, ``mDiffFitExec``, ``mBgExec``) of which a member failed answers ``'1'`` with its counts, after it has
done the others; Montage answers ``'0'``. Images beside the template and pairs without usable overlap are counted, and are no failure.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbmosaic.compat.montage.add import mAdd
    from nbmosaic.compat.montage.background import mBackground, mBgExec, mBgModel
    from nbmosaic.compat.montage.differences import mDiff, mDiffExec, mDiffFitExec, mFitExec, mFitplane
    from nbmosaic.compat.montage.headers import mGetHdr, mHdr, mMakeHdr, mTANHdr
    from nbmosaic.compat.montage.images import mExamine, mFixNaN, mHistogram, mShrink, mSubimage
    from nbmosaic.compat.montage.project import mProject, mProjectPP, mProjectQL, mProjExec
    from nbmosaic.compat.montage.tables import mCoverageCheck, mImgtbl, mOverlaps
    from nbmosaic.compat.montage.viewer import mViewer

_GROUPS = {
    "add": ("mAdd",),
    "background": ("mBackground", "mBgExec", "mBgModel"),
    "differences": ("mDiff", "mDiffExec", "mDiffFitExec", "mFitExec", "mFitplane"),
    "headers": ("mGetHdr", "mHdr", "mMakeHdr", "mTANHdr"),
    "images": ("mExamine", "mFixNaN", "mHistogram", "mShrink", "mSubimage"),
    "project": ("mProjExec", "mProject", "mProjectPP", "mProjectQL"),
    "tables": ("mCoverageCheck", "mImgtbl", "mOverlaps"),
    "viewer": ("mViewer",),
}
_HOME = {name: f"nbmosaic.compat.montage.{module}" for module, names in _GROUPS.items() for name in names}

__all__ = [
    "mAdd",
    "mBackground",
    "mBgExec",
    "mBgModel",
    "mCoverageCheck",
    "mDiff",
    "mDiffExec",
    "mDiffFitExec",
    "mExamine",
    "mFitExec",
    "mFitplane",
    "mFixNaN",
    "mGetHdr",
    "mHdr",
    "mHistogram",
    "mImgtbl",
    "mMakeHdr",
    "mOverlaps",
    "mProjExec",
    "mProject",
    "mProjectPP",
    "mProjectQL",
    "mShrink",
    "mSubimage",
    "mTANHdr",
    "mViewer",
]


def __getattr__(name: str) -> Any:
    """Load a function when it is first used."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return list(__all__)
