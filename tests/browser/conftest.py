"""A JupyterLab server in a temporary folder, and headless Chromium to look at it.

Nothing here is imported at the top that only the extra ``browser`` brings: the default run collects these tests and deselects them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

FLAGS = (
    "--no-sandbox",  # Chromium refuses its sandbox to root, and tests often run as root in a container
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",  # /dev/shm has 64 MB in many containers
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--proxy-server=direct://",
    "--proxy-bypass-list=*",
    # Every name but the own machine fails at once: a page that needs the internet is found out.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)

PATIENCE = float(os.environ.get("NBMOSAIC_BROWSER_TIMEOUT", "180"))
"""Seconds before a wait gives up. Waits poll, so a long limit costs nothing unless something is broken; kernels may have to be compiled."""

SETTINGS = {
    # "Would you like to receive official Jupyter news?" covers the corner of the page.
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    # Cells out of sight would otherwise be taken out of the page.
    "notebook-extension/tracker": {"windowingMode": "none"},
}


def missing(reason: str) -> NoReturn:
    """Skip, or fail where the browser is promised to be there."""
    if os.environ.get("NBMOSAIC_BROWSER") == "required":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab server."""

    base: str
    token: str
    folder: Path

    def address(self, name: str) -> str:
        """Address of a notebook, without the layout that an earlier visit left."""
        return f"{self.base}/lab/tree/{name}?reset&token={self.token}"


@dataclass(frozen=True)
class Visit:
    """A page with everything that went wrong on it."""

    page: Page
    lab: Lab
    pictures: Path
    problems: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note errors of the console, uncaught exceptions and failed requests."""
        self.page.on("console", lambda message: self.problems.append(f"console: {message.text}") if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.problems.append(f"exception: {error}"))
        self.page.on("requestfailed", lambda request: self.problems.append(f"request: {request.url} {request.failure}"))
        self.page.on(
            "response", lambda answer: self.problems.append(f"answer: {answer.status} {answer.url}") if answer.status >= 400 else None
        )

    def open(self, name: str) -> None:
        """Open a notebook and wait for its kernel."""
        from playwright.sync_api import expect

        self.page.goto(self.lab.address(name))
        # The indicator in the notebook's toolbar says "idle" before the kernel is even connected; the status bar does not.
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")

    def command(self, name: str, **arguments: object) -> None:
        """Carry out a command of JupyterLab and wait for its end."""
        self.page.evaluate("([name, arguments]) => window.jupyterapp.commands.execute(name, arguments)", [name, arguments])

    def run_all(self) -> None:
        """Run all cells of the notebook and wait until each has its number."""
        from playwright.sync_api import expect

        self.command("notebook:run-all-cells")  # ends with the first cell that raises an error, wanted or not, though others still wait
        # The kernel answers in the order of the questions: to this one after the last cell. Between two cells it says "Idle" as well.
        self.page.evaluate("async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestKernelInfo() }")
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text("| Idle")
        end = time.monotonic() + 60  # the answers are there, and the page puts them in its cells as soon as it has drawn the outputs
        while (left := self.not_run()) and time.monotonic() < end:
            self.page.wait_for_timeout(50)
        assert not left, "cells that did not run: " + "; ".join(left)

    def not_run(self) -> list[str]:
        """Place and first line of every code cell that has no number, and the error that may have stopped it."""
        found: list[str] = self.page.evaluate(
            """() => window.jupyterapp.shell.currentWidget.content.widgets.map((cell, place) => ({cell, place}))
                .filter(({cell}) => cell.model.type === "code" && cell.model.sharedModel.source.trim() && cell.model.executionCount == null)
                .map(({cell, place}) => `cell ${place} (${cell.model.sharedModel.source.trim().split("\\n")[0]})`)"""
        )
        if found:
            errors = self.page.locator(".jp-Notebook .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
            found += [f"error on the page: {text[-300:]}" for text in errors.all_inner_texts()]
        return found

    def saved(self, name: str) -> Any:
        """Save the notebook and read the file."""
        self.command("docmanager:save")
        # The command returns at once while another save is under way, and does nothing for a notebook that is not in front.
        self.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")
        return json.loads((self.lab.folder / name).read_text())

    def theme(self, name: str) -> None:
        """Change to the theme Light or Dark."""
        from playwright.sync_api import expect

        self.command("apputils:change-theme", theme=f"JupyterLab {name}")
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", str(name == "Light").lower())
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def end_kernels(self) -> None:
        """End the kernels of all notebooks: each holds some 400 MB."""
        address = f"{self.lab.base}/api/sessions"
        for session in self.page.request.get(f"{address}?token={self.lab.token}").json():
            self.page.request.delete(
                f"{address}/{session['id']}?token={self.lab.token}", headers={"Authorization": f"token {self.lab.token}"}
            )

    def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        self.page.screenshot(path=self.pictures / f"{name}.png")


def _environment(root: Path) -> dict[str, str]:
    """Environment of the server: nothing of the user's configuration, no proxies."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    folders = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "IPYTHONDIR": "ipython",
        "MPLCONFIGDIR": "matplotlib",
    }
    return kept | {name: str(root / folder) for name, folder in folders.items()} | {"NO_PROXY": "*", "JUPYTER_PLATFORM_DIRS": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        try:
            with opener.open(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    state = f"ended with {server.returncode}" if server.returncode is not None else f"did not answer in {PATIENCE:.0f} s"
    pytest.fail(f"the server {state}:\n{log.read_text()[-3000:]}", pytrace=False)


@contextmanager
def _serving(command: list[str], root: Path, address: str) -> Iterator[None]:
    """A server that runs in the folder ``work`` of `root` until the end of the block."""
    log = root / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=root / "work", env=_environment(root), stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_for(address, server, log)
        yield
    finally:
        server.terminate()  # its kernels go with it
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program."""
    for package in ("playwright", "jupyterlab"):
        if importlib.util.find_spec(package) is None:
            missing(f"{package} is not installed: pip install nbmosaic[browser]")
    program = os.environ.get("NBMOSAIC_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        missing("Chromium is not installed: apt-get install chromium fonts-dejavu-core, or name it in NBMOSAIC_CHROMIUM")
    return program


@pytest.fixture(scope="session")
def lab(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One server for all tests, on the loopback with a random token."""
    root = tmp_path_factory.mktemp("lab")
    for name, settings in SETTINGS.items():
        file = root / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(settings))
    folder = root / "work"
    folder.mkdir()
    port, token = _free_port(), secrets.token_hex(16)
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--ServerApp.root_dir={folder}", "--ServerApp.terminals_enabled=False"),
        *(f"--IdentityProvider.token={token}", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly"),
        "--LabApp.expose_app_in_browser=True",  # window.jupyterapp: themes are changed by command
    ]
    lab = Lab(f"http://127.0.0.1:{port}", token, folder)
    with _serving(command, root, f"{lab.base}/api?token={token}"):
        yield lab


@pytest.fixture(scope="session")
def voila(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the page that Voila makes of the notebook lab.ipynb."""
    if importlib.util.find_spec("voila") is None:
        missing("voila is not installed: pip install nbmosaic[browser]")
    root = tmp_path_factory.mktemp("voila")
    (root / "work").mkdir()
    shutil.copy(NOTEBOOKS / "lab.ipynb", root / "work")
    port = _free_port()
    base = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "voila", "--no-browser", "--Voila.ip=127.0.0.1", f"--port={port}", "lab.ipynb"]
    with _serving(command, root, f"{base}/voila/static/voila.js"):
        yield base


@pytest.fixture(scope="module")
def visit(lab: Lab, chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """A browser with a fresh profile. Pictures of the page go to the folder NBMOSAIC_PICTURES, if that is set."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=1000 * PATIENCE)  # it has a limit of its own, 5 s, that the page's does not change
    root = tmp_path_factory.mktemp("browser")
    pictures = Path(os.environ.get("NBMOSAIC_PICTURES", root))
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            root / "profile",
            executable_path=chromium,
            headless=True,
            args=list(FLAGS),
            viewport={"width": 1200, "height": 1750},  # the whole notebook is in the pictures
            device_scale_factor=1,
            reduced_motion="reduce",
            color_scheme="light",
        )
        page = context.pages[0]
        page.set_default_timeout(1000 * PATIENCE)
        visit = Visit(page, lab, pictures)
        visit.watch()
        yield visit
        context.close()
