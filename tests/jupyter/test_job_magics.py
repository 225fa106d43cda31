"""The magics of heavy steps: beside the cell, under limits, in a child when what they work on is large."""

from __future__ import annotations

import inspect
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

import onnx_lab as lab
from onnx_lab.background.job import VERBS as HEAVY
from onnx_lab.errors import BadInput, OnnxLabError, Stopped, WorkerError
from onnx_lab.jupyter import _run, _snapshot, _where
from onnx_lab.jupyter._job_panel import JobPanel
from onnx_lab.jupyter._live import Live
from onnx_lab.jupyter._place import Place
from onnx_lab.jupyter.magics import VERBS, function, signature_of
from onnx_lab.model import Model


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for job in lab.jobs():
        job.cancel()


@pytest.fixture
def small_is_big(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_where, "BIG_BYTES", 0)


class Wire:
    """Stands for what a kernel publishes through: keeps every message."""

    topic = b"display_data"
    pub_socket = object()

    def __init__(self) -> None:
        self.session = self
        self.parent_header = {"msg_id": "cell 1"}
        self.sent: list[tuple[str, str, str, dict[str, Any]]] = []

    def msg(self, kind: str, content: dict[str, Any], parent: dict[str, Any]) -> dict[str, Any]:
        return {"kind": kind, "content": content, "parent": parent}

    def send(self, socket: object, message: dict[str, Any], ident: bytes) -> None:
        assert (socket, ident) == (self.pub_socket, self.topic)
        content = message["content"]
        place = content["transient"]["display_id"]
        self.sent.append((message["kind"], message["parent"]["msg_id"], place, content["data"]))


class KernelShell:
    kernel = object()

    def __init__(self) -> None:
        self.display_pub = Wire()


@pytest.mark.parametrize("verb", VERBS)
def test_heavy_steps_have_the_options_of_a_job_and_others_have_not(notebook: Any, verb: str) -> None:
    manual = str(notebook.run(f"%onnx_{verb} -h"))
    for option in ("--background", "--memory-mb", "--timeout-s", "--in-turn"):
        assert (option in manual) == (verb in HEAVY), option
    assert "--no-background" not in manual
    own = {p.name for p in signature_of(verb).parameters if p.own}
    assert not own & set(inspect.signature(function(verb)).parameters), "the core function knows nothing of them"


def test_a_mistyped_option_is_suggested(notebook: Any) -> None:
    with pytest.raises(BadInput, match="did you mean '--background'"):
        notebook.run("%onnx_bench m --backgroud")
    with pytest.raises(BadInput, match="has no option --no-background"):
        notebook.run("%onnx_bench m --no-background")
    with pytest.raises(BadInput, match="a number above 0"):
        notebook.run("%onnx_bench m --timeout-s 0")


@pytest.mark.slow
def test_in_the_background_a_magic_gives_a_job_at_once(notebook: Any) -> None:
    start = time.monotonic()
    job = notebook.run("job = %onnx_optimize m --name beside --background\njob")
    assert time.monotonic() - start < 5, "no matter how long the step takes"
    assert isinstance(job, lab.Job)
    assert (job.verb, job.name) == ("optimize", "m")
    assert job.result.name == "beside"
    assert job.result.lineage == lab.optimize(notebook.ns["m"], name="beside").lineage


@pytest.mark.slow
def test_a_benchmark_in_the_background_keeps_the_names_of_the_line(notebook: Any) -> None:
    notebook.ns["other"] = lab.samples.tiny(seed=1)
    job = notebook.run("%onnx_bench m other --budget-s 1 --background")
    assert {r.name for r in job.result.rows} == {"m", "other"}
    assert job.name == "m other"


def test_code_is_shown_whatever_the_options(notebook: Any) -> None:
    assert "InferenceSession" in str(notebook.run("%onnx_bench m --background --memory-mb 100 --code"))


def test_small_things_stay_in_the_kernel(notebook: Any) -> None:
    before = len(lab.jobs())
    assert isinstance(notebook.run("%onnx_simplify m --name stays"), Model)
    assert len(lab.jobs()) == before


@pytest.mark.slow
def test_a_limit_takes_the_step_to_a_child(notebook: Any) -> None:
    before = len(lab.jobs())
    assert notebook.run("%onnx_simplify m --name limited --memory-mb 2000").name == "limited"
    assert len(lab.jobs()) == before + 1
    assert notebook.run("%onnx_simplify m --name limited --memory-mb 2000").cached, "found without a child"
    assert len(lab.jobs()) == before + 1


@pytest.mark.slow
def test_large_things_go_to_a_child_unless_they_are_made_already(notebook: Any, small_is_big: None) -> None:
    before = len(lab.jobs())
    made = notebook.run("%onnx_simplify m --name large")
    assert len(lab.jobs()) == before + 1
    assert not made.cached
    assert notebook.run("%onnx_simplify m --name large").cached
    assert len(lab.jobs()) == before + 1


def test_what_is_large_is_counted_over_models_and_modules(notebook: Any, tmp_path: Any) -> None:
    import torch

    net = torch.nn.Linear(6000, 6000, device="meta")
    assert _where.is_big("export", {"obj": net})
    assert not _where.is_big("export", {"obj": torch.nn.Linear(2, 2)})
    assert _where.is_big("best", {"m": notebook.ns["m"], "against": net})
    assert not _where.is_big("bench", {"contestants": [net]}), "engines are in processes of their own anyway"
    assert _where.is_big("export", {"obj": "prajjwal1/bert-tiny"}), "nobody knows how large it will be"
    assert not _where.is_big("export", {"obj": str(tmp_path)})
    assert not _where.is_big("export", {"obj": "nowhere.onnx"})


@pytest.mark.slow
def test_what_cannot_travel_works_in_the_kernel_and_says_so(
    notebook: Any, small_is_big: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    leave = Live.__exit__
    monkeypatch.setattr(Live, "__exit__", lambda self, *e: (notes.append(self.note), leave(self, *e))[1])
    notebook.run("import threading, torch\nnet = torch.nn.Linear(8, 4)\nnet.lock = threading.Lock()")
    assert notebook.run("%onnx_export net").outputs
    assert "inside the kernel" in notes[-1]
    assert "lock" in notes[-1]
    with pytest.raises(BadInput, match="a limit for what only this process can work on"):
        notebook.run("%onnx_export net --timeout-s 60")
    job = notebook.run("%onnx_export net --background")
    assert job.result.inputs
    assert job.where == "kernel"
    assert "works inside the kernel" in job._repr_html_()


def test_an_interrupt_ends_the_child(notebook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: lab.Job, timeout_s: float | None = None) -> lab.Job:
        raise KeyboardInterrupt

    monkeypatch.setattr(lab.Job, "wait", interrupted)
    with pytest.raises(Stopped, match="interrupted"):
        notebook.run("%onnx_bench m --budget-s 60 --timeout-s 100")
    monkeypatch.undo()
    job = next(iter(lab.jobs()))
    assert job.state == "cancelled"
    assert job.seconds < 5


def test_the_error_of_a_child_is_that_of_the_step(notebook: Any) -> None:
    with pytest.raises(BadInput, match="no_such_step"):
        notebook.run("%onnx_optimize m --disable no_such_step --memory-mb 2000")
    with pytest.raises(WorkerError, match=r"quantize m: it was ended at its memory cap.*peak memory"):
        notebook.run("%onnx_quantize m --name capped --memory-mb 1")


def test_the_cap_of_the_config_holds_for_children(notebook: Any) -> None:
    notebook.run("%config OnnxLab.memory_mb = 1")
    try:
        with pytest.raises(WorkerError, match=r"of 1\.0 MB"):
            notebook.run("%onnx_quantize m --name by_config --timeout-s 60")
        assert notebook.run("%onnx_quantize m --name small").name == "small", "what stays in the kernel has none"
    finally:
        notebook.run("%config OnnxLab.memory_mb = 0")
    with pytest.raises(TraitError, match="megabytes"):
        notebook.shell.magics_manager.registry["OnnxLab"].memory_mb = -1


def test_the_list_of_jobs(notebook: Any) -> None:
    first = notebook.run("%onnx_bench m --budget-s 60 --background")
    second = notebook.run("%onnx_bench m --budget-s 60 --background;")
    assert second is None, "silenced, and at work"
    listed = notebook.run("%onnx_jobs")
    assert [j.number for j in listed][:2] == [first.number + 1, first.number], "newest first"
    assert notebook.run(f"%onnx_jobs {first.number}") is first
    assert notebook.run(f"%onnx_jobs --cancel {first.number}") is first
    assert first.state == "cancelled"
    notebook.run("%onnx_jobs --cancel all")
    assert all(j.done for j in listed)
    with pytest.raises(BadInput, match="job 99999"):
        notebook.run("%onnx_jobs 99999")
    with pytest.raises(BadInput, match="a job's number, or all"):
        notebook.run("%onnx_jobs --cancel some")
    assert "all" in notebook.tab("%onnx_jobs --cancel ")


@pytest.mark.slow
def test_two_benchmarks_take_turns_and_say_so(notebook: Any) -> None:
    waits: list[str] = []
    first = notebook.run("%onnx_bench m --budget-s 30 --background")
    while not (first.progress and first.progress["kind"] == "round"):
        time.sleep(0.05)
    second = notebook.run("%onnx_profile m --background")
    second.watch(lambda j: waits.append((j.progress or {}).get("for", "")))
    end = time.monotonic() + 20
    while not waits and time.monotonic() < end:
        time.sleep(0.05)
    assert waits
    assert f"job {first.number} of process" in waits[0]
    assert not second.done
    first.cancel()
    assert second.wait(30).state == "done", "the lock is free as soon as its holder is gone"


@pytest.mark.slow
def test_in_turn_a_step_of_the_kernel_waits_for_a_benchmark(notebook: Any) -> None:
    notebook.run("job = %onnx_bench m --budget-s 30 --background")
    job = notebook.ns["job"]
    while not (job.progress and job.progress["kind"] == "round"):
        time.sleep(0.05)
    assert notebook.run("%onnx_simplify m --name beside").name == "beside"
    cancelled: list[float] = []

    def cancel() -> None:
        cancelled.append(time.monotonic())
        job.cancel()

    threading.Timer(1.0, cancel).start()
    assert notebook.run("%onnx_simplify m --name after --in-turn").name == "after"
    assert cancelled, "not before the benchmark had ended"
    assert job.wait(10).state == "cancelled"


@pytest.mark.slow
def test_the_panel_has_one_place_in_its_own_cell_and_ends_as_a_snapshot() -> None:
    shell = KernelShell()
    wire = shell.display_pub
    m = lab.samples.tiny()
    job = lab.start("bench", [m, lab.simplify(m, name="slim")], budget_s=2)
    shown = JobPanel(shell, job, "measuring m slim")
    shown.open()
    news: list[str] = []
    shown._live.place._widget.observe(lambda change: news.append(change["new"]), "value")
    assert job.on_display is not None
    assert job.on_display(), "shown in the cell that runs"
    assert [s[0] for s in wire.sent] == ["display_data"] * 3
    wire.parent_header = {"msg_id": "cell 2"}
    assert not job.on_display()
    job.wait()
    end = time.monotonic() + 5
    while len(wire.sent) < 4 or "application/vnd.plotly.v1+json" not in wire.sent[-1][3]:
        assert time.monotonic() < end, wire.sent[-1]
        time.sleep(0.02)
    assert {cell for _, cell, _, _ in wire.sent} == {"cell 1"}
    panel, button, figure = dict.fromkeys(place for _, _, place, _ in wire.sent)
    last = {place: data for _, _, place, data in wire.sent}
    assert "progressbar" not in last[panel]["text/html"]
    assert "measuring m slim: done in" in last[panel]["text/html"]
    assert "benchmark against tiny" in last[panel]["text/plain"]
    assert last[button] == {"text/html": "", "text/plain": ""}, "no dead widget stays"
    assert last[figure]["application/vnd.plotly.v1+json"]["data"]
    assert sum(len(json.dumps(data)) for data in last.values()) < 100_000
    updates = [1 for kind, _, place, _ in wire.sent if place == panel and kind == "update_display_data"]
    assert len(updates) == 1, "the end; before it, news go to the widget"
    assert "application/vnd.jupyter.widget-view+json" not in last[panel]
    assert 2 <= len(news) <= 5 * (job.seconds + 1)
    assert last[panel]["text/html"] in news[-1], "for a page that was reloaded"


@pytest.mark.parametrize(("ends", "words"), [("failed", "memory cap"), ("cancelled", "cancelled; nothing half-done")])
def test_the_snapshot_of_a_job_that_did_not_end_well_says_why(ends: str, words: str) -> None:
    job = lab.start("bench", lab.samples.tiny(), budget_s=60, memory_mb=1 if ends == "failed" else None)
    if ends == "cancelled":
        job.cancel()
    job.wait()
    html, text = _snapshot.card(job, "measuring m")
    for shown in (html, text):
        assert f"measuring m: {ends} after" in shown
        assert words in shown
    assert _snapshot.picture(job) is None
    assert ends == "cancelled" or "peak memory" in text


@pytest.mark.slow
def test_a_result_that_is_too_large_is_left_to_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_snapshot, "MOST_CARD", 300)
    monkeypatch.setattr(_snapshot, "MOST_PICTURE", 300)
    job = lab.start("bench", lab.samples.tiny(), budget_s=1).wait()
    html, text = _snapshot.card(job, "measuring m")
    assert "job.result shows all of it" in html
    assert text.endswith("...")
    assert _snapshot.picture(job) is None


@pytest.mark.slow
def test_a_step_without_a_picture_has_no_place_for_one() -> None:
    shell = KernelShell()
    job = lab.start("simplify", lab.samples.tiny(), name="unpictured")
    JobPanel(shell, job, "simplifying m").open()
    job.wait()
    assert len({place for _, _, place, _ in shell.display_pub.sent}) == 2, "the panel and the button"


def test_a_button_cancels_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = KernelShell()
    job = lab.start("bench", lab.samples.tiny(), budget_s=60)
    panel = JobPanel(shell, job, "measuring m")
    panel.open()
    button = panel._button._widget
    assert button.tooltip == f"Cancel job {job.number}"
    button.click()
    assert job.wait(5).state == "cancelled"


def test_without_widgets_the_panel_says_how_to_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ipywidgets", None)
    shell = KernelShell()
    job = lab.start("bench", lab.samples.tiny(), budget_s=60)
    JobPanel(shell, job, "measuring m").open()
    assert len({place for _, _, place, _ in shell.display_pub.sent}) == 2, "no place for a button"
    assert f"%onnx_jobs --cancel {job.number}" in shell.display_pub.sent[0][3]["text/html"]


def test_a_place_without_a_kernel_goes_through_ipython(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda data, **how: shown.append((data, how)))
    Place(object()).show({"text/plain": "x"})
    assert shown == [({"text/plain": "x"}, {"raw": True, "display_id": True})]


def test_progress_reaches_the_panel_from_steps_without_an_argument_for_it(
    notebook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(_run.Live, "progress", lambda _, event: heard.append(event))
    notebook.ns["batches"] = [{"x": np.ones((1, 8), np.float32)}] * 3
    notebook.run("%onnx_compare m m batches")
    assert [e["state"] for e in heard] == [f"comparing batch {i} of 3" for i in (1, 2, 3)]


@pytest.mark.slow
def test_lines_of_a_notebook_cell_travel(notebook: Any, spied: Callable[..., None]) -> None:
    """An error in the child names the user's line as it would here, though no file holds the cell."""
    notebook.run(
        "import torch\n"
        "class Branches(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        if x.sum() > 0:  # a branch on values\n"
        "            return x\n"
        "        return -x"
    )
    notebook.run("net, example = Branches(), torch.ones(2, 3)")
    with pytest.raises(OnnxLabError, match=r"if x\.sum\(\) > 0"):
        notebook.run("%onnx_export net example --timeout-s 120")


def test_a_job_of_a_script_line_shows_a_panel_the_first_time(
    notebook: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = KernelShell()
    job = lab.start("bench", lab.samples.tiny(), budget_s=60)
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    job._ipython_display_()
    first = shell.display_pub.sent[0][3]["text/plain"]
    assert first.startswith("measuring tiny …")
    assert capsys.readouterr().out == "", "the panel says it all"
    shell.display_pub.parent_header = {"msg_id": "cell 2"}
    job._ipython_display_()
    assert "state     running" in capsys.readouterr().out, "one panel for each job: elsewhere its card"
    job.cancel()
    job._ipython_display_()
    assert "measuring tiny: cancelled after" in capsys.readouterr().out, "and what came of it, wherever it is shown"
