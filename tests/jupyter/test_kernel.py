"""The doors through a real kernel: what a front end gets over the wire."""

from __future__ import annotations

import contextlib
import queue
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

pytestmark = pytest.mark.slow


class Kernel:
    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, code: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The reply, and everything published until the kernel is idle again."""
        messages: list[dict[str, Any]] = []
        reply = self.client.execute_interactive(code, timeout=120, output_hook=messages.append)
        return reply["content"], messages

    def everything_until(self, done: Callable[[dict[str, Any]], bool], seconds: float) -> list[dict[str, Any]]:
        """What is published for whichever cell, until a message is `done`."""
        messages: list[dict[str, Any]] = []
        end = time.monotonic() + seconds
        while not messages or not done(messages[-1]):
            assert time.monotonic() < end, [m["header"]["msg_type"] for m in messages][-5:]
            with contextlib.suppress(queue.Empty):
                messages.append(self.client.get_iopub_msg(timeout=0.5))
        return messages

    def value(self, code: str) -> str:
        """The text of the cell's value."""
        reply, messages = self.run(code)
        assert reply["status"] == "ok", reply
        (result,) = of_kind(messages, "execute_result")
        return str(result["data"]["text/plain"])

    def tab(self, code: str) -> list[str]:
        reply = self.client.complete(code, len(code), reply=True, timeout=30)
        matches: list[str] = reply["content"]["matches"]
        return matches


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel()
    try:
        kernel = Kernel(client)
        kernel.run(
            "import threading, time\nimport numpy as np\nimport onnx_lab as lab\n%load_ext onnx_lab\n"
            "m = lab.samples.tiny(); w = lab.samples.tiny(seed=1)"
        )
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def of_kind(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [m["content"] for m in messages if m["header"]["msg_type"] == kind]


def test_a_result_travels_as_html_and_text(kernel: Kernel) -> None:
    reply, messages = kernel.run("%onnx_inspect m")
    assert reply["status"] == "ok"
    (result,) = of_kind(messages, "execute_result")
    assert set(result["data"]) == {"text/html", "text/plain"}
    assert "MatMul" in result["data"]["text/plain"]
    assert not of_kind(messages, "stream")


def test_an_error_stops_run_all_and_carries_no_traceback(kernel: Kernel) -> None:
    reply, messages = kernel.run("%onnx_inspect mm")
    assert reply["status"] == "error"
    assert reply["ename"] == "BadInput"
    (error,) = of_kind(messages, "error")
    assert error["traceback"][0] == "BadInput: nothing here is called 'mm'"
    assert len(error["traceback"]) == 3
    assert not of_kind(messages, "stream")


def test_completion_over_the_wire(kernel: Kernel) -> None:
    assert kernel.tab("%onnx_bench m --targets op") == ["openvino"]
    assert kernel.tab("x = %onnx_doctor --") == ["--code", "--help"]
    assert {"--batch", "--target", "--code", "--help"} <= set(kernel.tab("x = %onnx_inspect m --"))


def test_a_benchmark_shows_one_live_panel_and_leaves_a_line(kernel: Kernel) -> None:
    reply, messages = kernel.run("b = %onnx_bench m w --budget-s 4")
    assert reply["status"] == "ok", reply
    (first,) = of_kind(messages, "display_data")
    updates = of_kind(messages, "update_display_data")
    assert updates, "nothing moved"
    assert len(updates) <= 5 * 8 + 1
    places = {m["transient"]["display_id"] for m in [first, *updates]}
    assert len(places) == 1
    assert any("role='progressbar'" in u["data"]["text/html"] for u in updates)
    assert updates[-1]["data"]["text/plain"].startswith("measuring m w: done in")
    assert len(updates[-1]["data"]["text/html"]) < 300


def test_an_interrupt_ends_the_cell_cleanly_and_the_kernel_lives(kernel: Kernel) -> None:
    code = (
        "import os, signal, threading\n"
        "threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "%onnx_bench m w --budget-s 60"
    )
    reply, messages = kernel.run(code)
    assert reply["status"] == "error"
    assert reply["ename"] == "Stopped"
    (error,) = of_kind(messages, "error")
    assert "Traceback" not in "".join(error["traceback"])
    assert "stopped after" in of_kind(messages, "update_display_data")[-1]["data"]["text/plain"]
    assert kernel.run("%onnx_inspect m")[0]["status"] == "ok"


def test_a_chart_is_plotlys_json_and_a_table_and_no_script(kernel: Kernel) -> None:
    reply, messages = kernel.run("lab.inspect(m).plot()")
    assert reply["status"] == "ok", reply
    figure, table = of_kind(messages, "display_data")
    assert set(figure["data"]) == {"application/vnd.plotly.v1+json", "text/plain"}
    assert set(table["data"]) == {"text/html", "text/plain"}
    assert "<script" not in str(messages)
    assert "http" not in str(table["data"])


# -- work that leaves the cell


def test_a_benchmark_beside_the_cell_leaves_the_kernel_free(kernel: Kernel) -> None:
    reply, _ = kernel.run("job = %onnx_bench m w --budget-s 60 --background")
    assert reply["status"] == "ok", reply
    kernel.run("while not (job.progress and job.progress['kind'] == 'round'): time.sleep(0.05)")
    seconds = []
    for _ in range(7):
        start = time.monotonic()
        assert kernel.value("1 + 1") == "2"
        seconds.append(time.monotonic() - start)
    assert statistics.median(seconds) < 0.3
    assert kernel.value("job.cancel(); job.state") == "'cancelled'"


def test_its_panel_stays_in_its_cell_and_ends_as_a_snapshot(kernel: Kernel) -> None:
    kernel.run("%onnx_jobs --cancel all")
    cell = kernel.client.execute("job = %onnx_bench m w --budget-s 4 --background")
    kernel.client.execute("job.wait(); time.sleep(1)")  # it ends while another cell runs
    messages = kernel.everything_until(lambda m: "vnd.plotly" in str(m["content"].get("data", {}).keys()), 60)
    shown = [m for m in messages if m["header"]["msg_type"] in ("display_data", "update_display_data")]
    assert {m["parent_header"]["msg_id"] for m in shown} == {cell}
    panel, button, figure = dict.fromkeys(m["content"]["transient"]["display_id"] for m in shown)
    by_place: dict[str, list[Any]] = {panel: [], button: [], figure: []}
    for m in shown:
        by_place[m["content"]["transient"]["display_id"]].append(m["content"]["data"])
    assert "progressbar" in by_place[panel][0]["text/html"]
    assert "progressbar" not in by_place[panel][-1]["text/html"]
    assert "done in" in by_place[panel][-1]["text/plain"]
    assert len(by_place[panel]) <= 5 * 8
    assert "application/vnd.jupyter.widget-view+json" in by_place[button][0]
    assert by_place[button][-1] == {"text/html": "", "text/plain": ""}
    assert [set(d) for d in by_place[figure]] == [
        {"text/html", "text/plain"},
        {"application/vnd.plotly.v1+json", "text/plain"},
    ]
    assert len(str([data[-1] for data in by_place.values()])) < 200_000


def test_a_job_can_be_awaited_in_a_cell(kernel: Kernel) -> None:
    kernel.run("job = %onnx_simplify m --name awaited --background")
    assert "awaited" in kernel.value("(await job).name")
    assert kernel.value("print(await lab.start('optimize', m)) or 'go on'") == "'go on'"


def test_an_interrupt_ends_a_child_within_a_second(kernel: Kernel) -> None:
    code = (
        "import os, signal, threading\n"
        "def interrupt():\n"
        "    while not any(j.progress and j.progress['kind'] == 'round' and not j.done for j in lab.jobs()):\n"
        "        time.sleep(0.05)\n"
        "    globals()['at'] = time.monotonic()\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "threading.Thread(target=interrupt).start()\n"
        "%onnx_bench m w --budget-s 60 --timeout-s 100"
    )
    reply, messages = kernel.run(code)
    took = float(kernel.value("time.monotonic() - at"))
    assert reply["ename"] == "Stopped"
    assert took < 1.5, "with the way here and back"
    assert "stopped after" in of_kind(messages, "update_display_data")[-1]["data"]["text/plain"]
    assert kernel.value("next(iter(lab.jobs())).state") == "'cancelled'"
    assert kernel.value(LEFT) == "[]"


LEFT = "[p.name for p in (lab.workspace.root() / 'tmp').iterdir()]"
FEEDS = "feeds = [{'x': np.ones((50, 8), np.float32)}] * 100_000"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("{KILL}%onnx_bench m w --budget-s 60 --timeout-s 100", ("bench m w", "it was killed", "peak memory")),
        ("%onnx_trace m w feeds --memory-mb 60", ("trace m", "memory cap: it held", "of 60.0 MB", "peak memory")),
        ("%onnx_bench m w --budget-s 60 --timeout-s 3", ("bench m w", "did not end in time", "peak memory")),
    ],
    ids=["killed", "memory", "hang"],
)
def test_what_ends_a_child_is_named_and_the_kernel_lives(kernel: Kernel, code: str, words: tuple[str, ...]) -> None:
    kernel.run(FEEDS)
    kill = "threading.Timer(2, lambda: next(iter(lab.jobs()))._process._child.kill()).start()\n"
    reply, messages = kernel.run(code.replace("{KILL}", kill))
    assert reply["ename"] == "WorkerError", reply
    (error,) = of_kind(messages, "error")
    said = "\n".join(error["traceback"])
    assert "Traceback" not in said
    for word in words:
        assert word in said
    assert kernel.value("1 + 1") == "2"
    assert kernel.value(LEFT) == "[]"


def test_a_full_disk_leaves_nothing_half_written(kernel: Kernel) -> None:
    kernel.run("import resource; before = resource.getrlimit(resource.RLIMIT_FSIZE)")
    kernel.run("resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))")
    reply, _ = kernel.run("%onnx_simplify m --name full --memory-mb 4000")
    kernel.run("resource.setrlimit(resource.RLIMIT_FSIZE, before)")
    assert reply["ename"] == "WorkspaceError", reply
    assert "cannot be written" in reply["evalue"]
    assert kernel.value(LEFT) == "[]"
    assert "full" in kernel.value("m2 = %onnx_simplify m --name full --memory-mb 4000\nm2.name")


def test_cells_are_heard_beside_a_job_that_is_held_back(kernel: Kernel) -> None:
    """A job's thread keeps what libraries say in it; what cells print beside it, captured or not, goes its own way."""
    kernel.run(
        "import sys; from onnx_lab._quiet import quiet\n"
        "before = sys.stdout, sys.stderr; begun, go = threading.Event(), threading.Event()\n"
        "def job():\n"
        "    with quiet():\n"
        "        print('chatter'); begun.set(); go.wait(30)\n"
        "thread = threading.Thread(target=job); thread.start(); begun.wait(30)"
    )
    _, beside = kernel.run("print('a cell beside it', flush=True)")
    _, captured = kernel.run("%%capture heard\nprint('captured'); go.set(); thread.join()")
    _, after = kernel.run("print('and after it')")
    printed = ["".join(s["text"] for s in of_kind(m, "stream")) for m in (beside, captured, after)]
    assert printed == ["a cell beside it\n", "", "and after it\n"]
    assert kernel.value("heard.stdout, (sys.stdout, sys.stderr) == before") == r"('captured\n', True)"
