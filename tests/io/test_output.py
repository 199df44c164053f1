from __future__ import annotations

import errno
import os

import pytest

from nbmosaic.errors import FormatError
from nbmosaic.io.meta import content_hash, content_key
from nbmosaic.io.output import check_output, format_bytes, replacing, write_error


def test_replaces_at_the_end_only(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path, overwrite=True) as name:
        name.write_text("new")
        assert name.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_errors_leave_the_old_file(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with replacing(path, overwrite=True) as name:
            name.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "old"


def test_system_errors_are_one_line(tmp_path):
    with (
        pytest.raises(FormatError, match=r"cannot write .*a\.txt: no space left on the disk \(5\.0 kB needed\)"),
        replacing(tmp_path / "a.txt", needed=5000),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "quota" in str(write_error("a", OSError(errno.EDQUOT, "x")))
    assert "file size limit" in str(write_error("a", OSError(errno.EFBIG, "x")))
    assert str(write_error("a", OSError(errno.EIO, "Input/output error"))) == "cannot write a: input/output error"


def test_check_output(tmp_path, monkeypatch):
    (tmp_path / "old.fits").write_text("x")
    assert check_output(tmp_path / "new.fits") == tmp_path / "new.fits"
    with pytest.raises(
        FormatError, match=r"old\.fits exists; choose another name, or overwrite=True \(--overwrite in a cell or the shell\)"
    ):
        check_output(tmp_path / "old.fits")
    check_output(tmp_path / "old.fits", overwrite=True)
    with pytest.raises(FormatError, match="it is a folder"):
        check_output(tmp_path)
    with pytest.raises(FormatError, match=r"there is no folder .*; make it first"):
        check_output(tmp_path / "no" / "new.fits")
    with pytest.raises(FormatError, match="not a regular file"):
        check_output(os.devnull, overwrite=True)
    with pytest.raises(FormatError, match=r"it needs 1000000000\.0 GB, the disk has"):
        check_output(tmp_path / "new.fits", needed=10**18)
    with pytest.raises(FormatError, match="cannot write"):
        check_output(tmp_path / ("n" * 3000))
    with pytest.raises(FormatError, match="cannot write"):
        check_output(str(tmp_path / "a\0b"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(FormatError, match="is not writable"):
        check_output(tmp_path / "new.fits")


def test_format_bytes():
    assert [format_bytes(n) for n in (7, 2500, 2.5e6, 3e12)] == ["7 B", "2.5 kB", "2.5 MB", "3000.0 GB"]


def test_content_key_and_hash(tmp_path):
    path = tmp_path / "a.fits"
    path.write_bytes(b"abc" * 1_000_000)
    key, digest = content_key(path), content_hash(path)
    assert content_key(str(path)) == key
    link = tmp_path / "link.fits"
    link.symlink_to(path)
    assert content_key(link) == key
    path.write_bytes(b"abd" * 1_000_000)
    assert content_key(path) != key
    assert content_hash(path) != digest
    assert len(digest) == 32
    path.unlink()
    for function in (content_key, content_hash):
        with pytest.raises(FormatError, match="cannot read"):
            function(path)
