"""A kernel as front ends other than JupyterLab drive it: by plain messages, as VS Code sends them.

No ``cellId`` in the metadata, no answers to ``input()``, errors that do not hold up what follows, silent set-up before the first cell, widgets
updated by messages on the shell channel, and Stop as a message.
"""

from __future__ import annotations

import queue
import re
import time

import pytest
from jupyter_client.manager import start_new_kernel

import nbmosaic

CELL = "%%mosaic demo\nimages {folder}\nheader\nproject\noverlaps\nbackground\ncorrect\ncoadd"
WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    few = nbmosaic.simulate_frames(tmp_path_factory.mktemp("few"), n_frames=4, size=96, seed=3).folder
    many = nbmosaic.simulate_frames(tmp_path_factory.mktemp("many"), n_frames=16, size=400, seed=3).folder
    manager, client = start_new_kernel(kernel_name="python3")
    front = FrontEnd(manager, client)
    _, reply = front.run("%load_ext nbmosaic", silent=True, store_history=False)
    assert (reply["status"], reply["execution_count"]) == ("ok", 0), "what is silent counts as no cell"
    front.run(f"folder, many = {str(few)!r}, {str(many)!r}", silent=True, store_history=False)
    yield front
    client.stop_channels()
    manager.shutdown_kernel(now=True)


class FrontEnd:
    """Sends messages and reads what comes back."""

    def __init__(self, manager, client):
        self.manager, self.client = manager, client

    def send(self, kind, content, *, channel="shell_channel"):
        message = self.client.session.msg(kind, content)
        getattr(self.client, channel).send(message)
        return message["header"]["msg_id"]

    def start(self, code, **options):
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": False,
        }
        return self.send("execute_request", content | options)

    def shown(self, message, *, until=None):
        """What is published for a message, to its end, or to the first text of a display that matches `until`."""
        found, deadline = [], time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                got = self.client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, content = got["msg_type"], got["content"]
            if got["parent_header"].get("msg_id") != message:
                continue
            if (kind, content.get("execution_state")) == ("status", "idle"):
                return found
            found.append((kind, content))
            if until is not None and re.search(until, str(content.get("data", {}).get("text/plain", ""))):
                return found
        raise AssertionError(f"the kernel did not come to an end: {found}")

    def reply(self, message):
        while True:
            got = self.client.get_shell_msg(timeout=60)
            if got["parent_header"].get("msg_id") == message:
                return got["content"]

    def run(self, code, **options):
        message = self.start(code, **options)
        return self.shown(message), self.reply(message)

    def complete(self, code, at):
        return self.reply(self.send("complete_request", {"code": code, "cursor_pos": at}))


def result(shown):
    found = [content for kind, content in shown if kind == "execute_result"]
    assert len(found) == 1, [kind for kind, _ in shown]
    return found[0]["data"]


def test_a_cell(kernel):
    shown, reply = kernel.run(CELL)
    assert reply["status"] == "ok"
    kinds = {kind for kind, _ in shown} - {"status", "execute_input"}
    assert kinds <= {"display_data", "update_display_data", "execute_result"}, "nothing is printed, and nothing needs a comm"
    assert sum(kind == "display_data" for kind, _ in shown) <= 1, "one line of progress, which is updated in place"
    updates = {content["transient"]["display_id"] for kind, content in shown if "display_data" in kind}
    assert len(updates) <= 1
    assert {"text/plain", "text/html"} <= set(result(shown))
    assert '<img class="nbm-picture"' in result(shown)["text/html"]


def test_a_panel_follows_the_messages_of_its_widgets(kernel):
    kernel.run(CELL)
    shown, reply = kernel.run("%mosaic panel demo")
    assert reply["status"] == "ok"
    data = result(shown)
    assert {WIDGET, "text/plain", "image/png"} <= set(data), "the widget, and what is seen without it"
    models = {content["comm_id"]: content["data"]["state"] for kind, content in shown if kind == "comm_open"}
    assert data[WIDGET]["model_id"] in models
    pairs = next(comm for comm, state in models.items() if state["_model_name"] == "SelectModel")
    assert models[pairs]["index"] == 0
    update = {"comm_id": pairs, "data": {"method": "update", "state": {"index": 2}, "buffer_paths": []}}
    changed = {
        content["comm_id"]: content["data"]["state"]["value"]
        for kind, content in kernel.shown(kernel.send("comm_msg", update))
        if kind == "comm_msg" and content["data"]["method"] == "update" and "value" in content["data"]["state"]
    }
    assert any('alt="difference of 0: frame_000_crota.fits and 3: frame_003_pc.fits: ' in html for html in changed.values())
    again = kernel.shown(kernel.send("comm_msg", {"comm_id": pairs, "data": {"method": "request_state"}}))
    states = [content["data"]["state"] for kind, content in again if kind == "comm_msg"]
    assert states[0]["index"] == 2, "a view that is opened later gets the state of now"


def test_stop_by_a_message(kernel):
    message = kernel.start("%%mosaic long --jobs 2 --fresh\nimages {many}\nheader --scale 0.3\nproject --method exact")
    kernel.shown(message, until="project [2-9]/16")
    began = time.monotonic()
    kernel.send("interrupt_request", {}, channel="control_channel")
    reply = kernel.reply(message)
    assert (reply["status"], reply["ename"]) == ("error", "MosaicCancelled")
    assert time.monotonic() - began < 20  # how quick it is, test_stop measures
    shown, reply = kernel.run("list(long)")
    assert result(shown)["text/plain"] == "['images', 'header']"


def test_an_error_is_an_error_message_of_few_lines(kernel):
    shown, reply = kernel.run("%%mosaic wrong\nimages {folder}\nheader\nprojct")
    assert (reply["status"], reply["ename"]) == ("error", "CellError")
    error = next(content for kind, content in shown if kind == "error")
    assert len("\n".join(error["traceback"]).splitlines()) <= 4
    assert not any(kind == "stream" for kind, _ in shown)
    assert kernel.run("1 + 1")[1]["status"] == "ok"


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ("%%mosaic m\nproj", "", {"project"}),
        ("%%mosaic m\nproj", "\ncoadd", {"project"}),
        ("%%mosaic m\n# 𝛼, β\nproject --meth", "\noverlaps as pairs", {"method"}),
        ("%%mosaic m\nproject --method ", "\n", {"spline", "exact"}),
        ("x = %mosaic coadd --comb", "", {"combine"}),
        ("%%mosaic m\nimages {fol", "}\n", {"folder"}),
    ],
)
def test_completion_inside_a_cell(kernel, before, after, wanted):
    content = kernel.complete(before + after, len(before))
    assert content["status"] == "ok"
    assert wanted <= {match.removeprefix("--").lstrip("{").rstrip("}") for match in content["matches"]}, content
    assert content["cursor_start"] <= content["cursor_end"] <= len(before) + 1
