"""The doors through a real kernel: what a front end gets over the wire."""

from __future__ import annotations

from collections.abc import Iterator
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

    def tab(self, code: str) -> list[str]:
        reply = self.client.complete(code, len(code), reply=True, timeout=30)
        matches: list[str] = reply["content"]["matches"]
        return matches


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    manager, client = start_new_kernel()
    try:
        kernel = Kernel(client)
        kernel.run("import onnx_lab as lab\n%load_ext onnx_lab\nm = lab.samples.tiny(); w = lab.samples.tiny(seed=1)")
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
    assert kernel.tab("x = %onnx_inspect m --") == ["--code", "--help"]


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
