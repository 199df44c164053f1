"""Progress lines: what they say, how often they are drawn, and where."""

import io

from nbmosaic.notebook.progress import NotebookProgress, make_progress
from nbmosaic.pipeline.execution import NoProgress
from nbmosaic.pipeline.progress import ProgressState, TextProgress, memory_used


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def fake_state():
    clock = Clock()
    return clock, ProgressState(clock=clock, memory=lambda: 410_000_000)


def test_the_line_says_stage_count_time_left_and_memory():
    clock, state = fake_state()
    state.begin("project", 16)
    assert state.line == "project 0/16 · 410 MB"
    state.done, clock.now = 12, 9.3
    assert state.line == "project 12/16 · 3.1 s left · 410 MB"
    state.done, clock.now = 1, 100.0
    assert state.line == "project 1/16 · 25 min 0 s left · 410 MB"
    state.done = 16
    assert state.line == "project 16/16 · 410 MB"
    assert state.summary("") == "project 16/16 in 1 min 40 s"
    assert state.summary("16 frames") == "project · 16 frames"


def test_the_first_guess_of_the_time_left_waits_for_some_work():
    clock, state = fake_state()
    state.begin("project", 16)
    state.done, clock.now = 1, 0.1
    assert "left" not in state.line


def test_memory_is_read_where_the_system_tells():
    used = memory_used()
    assert used is None or 1e6 < used < 1e12


def test_a_notebook_gets_one_display_that_is_updated_and_not_too_often():
    clock, state = fake_state()
    sent = []
    progress = NotebookProgress(publish=lambda data, display_id, update: sent.append((data, display_id, update)), state=state)
    progress.start("<b>project", 1000)
    for _ in range(1000):
        clock.now += 0.001
        progress.advance()
    assert 9 <= len(sent) <= 12
    progress.finish("1000 frames")
    progress.start("coadd", 0)
    assert [update for _, _, update in sent] == [False] + [True] * (len(sent) - 1)
    assert len({display_id for _, display_id, _ in sent}) == 1
    assert '<progress value="0" max="1000"' in sent[0][0]["text/html"]
    assert "&lt;b&gt;project" in sent[0][0]["text/html"]
    assert "<b>" not in sent[0][0]["text/html"]
    assert sent[0][0]["text/plain"].startswith("<b>project 0/1000")
    assert "<progress" not in sent[-1][0]["text/html"], "no bar without a total"
    progress.close()
    assert sent[-1][0]["text/plain"] == ""


def test_nothing_is_drawn_for_a_run_without_progress():
    sent = []
    NotebookProgress(publish=lambda *args: sent.append(args)).close("stopped")
    assert sent == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_one_line_that_is_written_over():
    clock, state = fake_state()
    stream = Terminal()
    progress = TextProgress(stream, state=state)
    progress.start("overlaps", 10)
    clock.now = 1.0
    progress.advance(5)
    progress.advance(1)
    progress.finish("10 overlaps fitted")
    progress.close("done")
    text = stream.getvalue()
    assert text.count("\r") == 4
    assert "\roverlaps 5/10 · 1.0 s left · 410 MB" in text
    assert text.count("\n") == 1
    longest = max(len(part) for part in text.split("\r")[:3])
    assert len(text.split("\r")[3]) >= longest, "a shorter line must wipe out the longer one before it"


def test_a_pipe_gets_nothing():
    stream = io.StringIO()
    progress = TextProgress(stream)
    progress.start("a", 3)
    progress.advance(3)
    progress.finish("")
    progress.close("done")
    assert stream.getvalue() == ""


def test_the_kind_of_progress_follows_the_front_end():
    class Kernel:
        kernel = object()

    assert isinstance(make_progress("auto", Kernel()), NotebookProgress)
    assert isinstance(make_progress("auto", object()), TextProgress)
    assert isinstance(make_progress("off", Kernel()), NoProgress)
    forced = make_progress("text", Kernel())
    assert isinstance(forced, TextProgress)
    assert forced.live
