"""HTML and script in headers, file names and tables show as text, in everything that draws itself."""

from __future__ import annotations

import html
import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from IPython.utils.capture import capture_output
from support.shell import new_shell

import nbmosaic
from nbmosaic.errors import NbmosaicWarning
from nbmosaic.notebook.progress import NotebookProgress

EVIL = "<script>alert(1)</script>"
NAME = "<script>alert(1)<'&>.fits"  # no slash: it is a file name
ALLOWED = {"a", "br", "caption", "code", "dd", "details", "div", "dl", "dt", "hr", "img", "li", "p", "pre", "progress", "span", "strong"}
ALLOWED |= {"style", "sub", "summary", "sup", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"}


class Tags(HTMLParser):
    """Elements and attributes of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), [], []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text.append(data)


def check(page):
    """Only harmless elements, no handlers, and no address but of embedded pictures."""
    parser = Tags()
    parser.feed(page)
    parser.close()
    assert parser.tags <= ALLOWED, parser.tags - ALLOWED
    for name, value in parser.attributes:
        assert not name.startswith("on"), (name, value)
        assert "javascript:" not in value
        if name == "src":
            assert value.startswith("data:image/png;base64,")
    return "".join(parser.text) + " ".join(value for _, value in parser.attributes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three overlapping frames whose names, units and other texts are HTML."""
    folder = tmp_path_factory.mktemp("evil")
    rng = np.random.default_rng(5)
    for number in range(3):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [10.0, 20.0]
        wcs.wcs.cdelt, wcs.wcs.crpix = [-1 / 3600, 1 / 3600], [20 + 15 * number, 30]
        header = wcs.to_header()
        header["BUNIT"] = EVIL
        header["OBJECT"], header["TELESCOP"], header["FILTER"] = EVIL, EVIL, EVIL
        header["EXPTIME"] = 10.0
        hdus = fits.HDUList([fits.PrimaryHDU(rng.normal(number, 1, (60, 60)).astype(np.float32), header)])
        hdus[0].header["EXTNAME"] = EVIL
        hdus.writeto(folder / f"{number}{NAME}")
    return folder


@pytest.fixture
def shell(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    with new_shell() as shell:
        nbmosaic.load_ipython_extension(shell)
        shell.magics_manager.registry["MosaicMagics"].cache_dir = str(tmp_path / "cache")
        yield shell
        nbmosaic.unload_ipython_extension(shell)


CELL = """%%mosaic m {}
images "0<script>alert(1)<'&>.fits" "1<script>alert(1)<'&>.fits" "2<script>alert(1)<'&>.fits" as frames
header
project --method bilinear
overlaps
background
correct
coadd
shrink 2
show --kind coverage
"""


def pages_of(value):
    """What a front end gets of a value."""
    yield value._repr_html_()
    bundle = getattr(value, "_repr_mimebundle_", None)
    if bundle is not None:
        data = bundle()
        yield (data[0] if isinstance(data, tuple) else data).get("text/html", "")


def run(shell, source):
    with capture_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NbmosaicWarning)
        return shell.run_cell(source).raise_error().value


def test_products_runs_plans_handles_and_the_cache(shell):
    plan = run(shell, CELL.format("--plan"))
    made = run(shell, CELL.format(""))
    handle = run(shell, CELL.format("--detach"))
    handle.result(60)
    values = [plan, made, handle, *made.values(), run(shell, "%mosaic cache"), run(shell, CELL.format("--code"))]
    seen = [check(page) for value in values for page in pages_of(value)]
    shown = [text for text in seen if "<script>" in text]
    assert len(shown) >= 6, "the names are shown, as text"
    for value in values:
        assert isinstance(repr(value), str)


def test_every_picture_of_a_product(shell):
    made = run(shell, CELL.format("").replace("show --kind coverage\n", ""))
    shell.user_ns["made"] = made
    from nbmosaic.pipeline.quicklook import _kinds

    for stage, product in made.items():
        for kind in _kinds(product):
            picture = run(shell, f"%mosaic show {{made[{stage!r}]}} --kind {kind}")
            for page in pages_of(picture):
                check(page)
    for page in pages_of(made["project"].overlap_picture(made["overlaps"], 0)):
        assert "<script>" in html.unescape(check(page))


def test_tables(tmp_path):
    table = tmp_path / f"{EVIL.replace('/', '_')}.csv"
    table.write_text(f"id,{EVIL.replace('/', '|')}\n1,{EVIL}\n2,<img src=x onerror=alert(1)>\n")
    product = nbmosaic.read(str(table))
    text = check(product._repr_html_())
    assert "onerror=alert" in text
    assert "<script>" in text


def test_failed_and_detached_runs(shell):
    handle = run(shell, CELL.format("--detach").replace("alert(1)<'&>.fits\" as", 'nothing.fits" as'))
    with pytest.raises(nbmosaic.NbmosaicError):
        handle.result(60)
    assert "<script>" in check(handle._repr_html_())
    with capture_output():
        shell.run_cell(CELL.format("").replace("coadd\n", f"coadd --max-memory '{EVIL}'\n"))
    assert "<script>" in check(shell.user_ns["m"]._repr_html_())


def test_help_and_progress(shell):
    for line in ("%mosaic", "%mosaic help images", "%mosaic help mosaic", "%psf", "%nbmosaic"):
        for page in pages_of(run(shell, line)):
            check(page)
    published = []
    progress = NotebookProgress(publish=lambda data, *_: published.append(data["text/html"]))
    progress.start(EVIL, 3)
    progress.advance()
    progress.finish(EVIL)
    progress.close(EVIL)
    assert published
    for page in published:
        check(page)
    assert any(re.search("&lt;script", page) for page in published)
