"""Fingerprints of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbmosaic.errors import FormatError
from nbmosaic.io.meta import sampled_hash


@pytest.mark.parametrize("size", [0, 10, 70_000, 3_000_000])
def test_fingerprint_sees_size_beginning_and_end(tmp_path: Path, size: int) -> None:
    file = tmp_path / "a"
    content = bytearray(i % 251 for i in range(size))
    file.write_bytes(content)
    first = sampled_hash(file)
    assert first == sampled_hash(file)
    for changed in (content + b"x", content[:-1], bytes([7]) + content[1:], content[:-1] + b"\x07"):
        if changed != content:
            file.write_bytes(changed)
            assert sampled_hash(file) != first


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="nowhere"):
        sampled_hash(tmp_path / "nowhere")
