"""Workers: right answers, clear refusals, and whatever an engine does wrong stays in the child."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, save

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab.errors import BadInput, BadModel, ProviderError, WorkerError
from onnx_lab.feeds import model_feeds
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.runtime import client
from onnx_lab.runtime._child import Child
from onnx_lab.runtime.client import POOL_SIZE, Worker, session
from onnx_lab.runtime.target import Target


def pid_of(worker: Worker) -> int:
    return worker._child._process.pid


def gone(pid: int) -> bool:
    """Whether a process of ours is gone or at least dead (an orphan waits for the container's init to reap it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def hand_made(folder: Path, nodes: list[object], *, metadata: dict[str, str] | None = None, opset: int = 20) -> Model:
    """A file ``x (n, 4) float32 -> y`` made of `nodes`, as someone else would have written it."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=10)
    helper.set_model_props(proto, metadata or {})
    save(proto, folder / "m.onnx")
    return workspace.open_model(folder / "m.onnx")


@pytest.fixture(scope="module")
def tiny() -> Model:
    return lab.samples.tiny()


def test_answers_are_the_models(tiny: Model) -> None:
    feeds = model_feeds(tiny, batch=5)
    weights = {w.name: w.const_value.numpy() for w in tiny.to_ir().graph.initializers.values()}
    hidden = np.maximum(feeds["x"] @ weights["w1"] + weights["b1"], 0)
    with Worker.for_model(tiny) as w:
        got = w.run(feeds)
        assert w.info["nodes"].keys() == {"CPUExecutionProvider"}
        assert w.info["load_seconds"] > 0
        assert w.peak_rss_bytes > 10_000_000
    np.testing.assert_allclose(got["logits"], hidden @ weights["w2"] + weights["b2"], rtol=1e-5, atol=1e-6)


def test_timing_gives_raw_seconds_and_keeps_its_limits(tiny: Model) -> None:
    with Worker.for_model(tiny) as w:
        feeds = model_feeds(tiny)
        assert len(w.time_block(feeds, min_seconds=0.0)) == 1
        assert len(w.time_block(feeds, min_seconds=9.0, max_runs=7)) == 7
        seconds = w.time_block(feeds, min_seconds=0.05)
        assert 0.04 < sum(seconds) < 1.0
        block = w.block(feeds, min_seconds=0.0, min_runs=3, loops=50, lead_in_seconds=0.01, extra_share=1.0)
        assert len(block.seconds) == 3
        assert block.lead_in >= 1
        assert block.wall >= 3 * 50 * min(block.seconds)


@pytest.mark.slow
def test_a_slowed_run_is_slowed_by_its_share(tiny: Model) -> None:
    with Worker.for_model(tiny, Target("cpu", threads=1)) as w:
        feeds = model_feeds(tiny, batch=4096)
        pairs = [
            (
                np.median(w.time_block(feeds, min_seconds=0.03)),
                np.median(w.time_block(feeds, min_seconds=0.03, extra_share=0.5)),
            )
            for _ in range(9)
        ]
    assert 1.3 < np.median([slow / fast for fast, slow in pairs]) < 1.7


@pytest.mark.parametrize(
    ("feeds", "says"),
    [
        ({"y": np.zeros((1, 8), np.float32)}, "feed 'y'"),
        ({}, "no feed for 'x'"),
        ({"x": np.zeros((1, 8))}, "astype"),
        ({"x": np.zeros(8, np.float32)}, "x[None]"),
        ({"x": np.zeros((1, 9), np.float32)}, "fixed at 8"),
    ],
)
def test_wrong_feeds_are_refused_before_the_engine_sees_them(tiny: Model, feeds: object, says: str) -> None:
    with pytest.raises(BadInput) as e:
        session(tiny).run(feeds)  # type: ignore[arg-type]
    assert says in str(e.value)
    assert session(tiny).alive


def test_what_only_the_engine_can_refuse_is_a_clear_error_too(tiny: Model) -> None:
    with Worker.for_model(tiny) as w:
        w._inputs = None  # as if the file had said nothing about its inputs
        with pytest.raises(BadInput, match="refused the feeds"):
            w.run({"x": np.zeros((1, 9), np.float32)})
        assert w.run(model_feeds(tiny))["logits"].shape == (1, 4), "the worker lives on"


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "too much memory"), (signal.SIGSEGV, "segmentation fault"), (signal.SIGILL, "instruction")],
)
def test_a_crash_hits_the_child_and_is_told_in_words(tiny: Model, number: int, words: str) -> None:
    with Worker.for_model(tiny) as w:
        os.kill(pid_of(w), number)
        with pytest.raises(WorkerError, match=words) as e:
            w.run(model_feeds(tiny))
        assert "running tiny" in str(e.value)
        assert "peak memory" in str(e.value)
        assert not w.alive
        with pytest.raises(WorkerError):
            w.run(model_feeds(tiny))


@pytest.mark.slow
def test_a_hang_ends_at_the_deadline(tiny: Model) -> None:
    with Worker.for_model(tiny) as w:
        w._timeout_s = 0.5
        start = time.monotonic()
        with pytest.raises(WorkerError, match="no answer within"):
            w.time_block(model_feeds(tiny), min_seconds=60)
        assert time.monotonic() - start < 3
        assert gone(pid_of(w))


def test_an_interrupt_ends_the_child_at_once(tiny: Model) -> None:
    with Worker.for_model(tiny) as w:
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        start = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            w.time_block(model_feeds(tiny), min_seconds=60)
        assert time.monotonic() - start < 2
        assert not Path(f"/proc/{pid_of(w)}").exists(), "no zombie"


class ForkedAtAnInterrupt(subprocess.Popen):  # type: ignore[type-arg]
    """The interrupt comes when the process is there, and before who asked for it knows of it."""

    def __init__(self, *arguments: object, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[call-overload]
        started.append(self.pid)
        signal.raise_signal(signal.SIGINT)


started: list[int] = []


@pytest.mark.parametrize("start", [lambda: Child(1), lambda: lab.start("optimize", lab.samples.tiny())])
def test_an_interrupt_in_the_middle_of_a_start_leaves_no_process(
    start: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp = set(os.listdir(tempfile.gettempdir()))
    monkeypatch.setattr(subprocess, "Popen", ForkedAtAnInterrupt)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert gone(started.pop())
    assert not started
    assert not {f for f in set(os.listdir(tempfile.gettempdir())) - tmp if f.startswith("onnx-lab-")}


@pytest.mark.slow
def test_the_child_ends_with_its_parent(tiny: Model) -> None:
    code = (
        "import sys, onnx_lab as lab\n"
        "from onnx_lab.runtime.client import Worker\n"
        "from onnx_lab.feeds import model_feeds\n"
        "m = lab.load(sys.argv[1]); w = Worker.for_model(m); print(w._child._process.pid, flush=True)\n"
        "w.time_block(model_feeds(m), min_seconds=60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(tiny.path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    end = time.monotonic() + 3
    while not gone(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert gone(child)


@pytest.mark.slow
def test_an_idle_worker_uses_no_cpu(tiny: Model) -> None:
    with Worker.for_model(tiny, Target("cpu", threads=2)) as w:
        w.time_block(model_feeds(tiny, batch=4096), min_seconds=0.1)
        time.sleep(0.3)  # ONNX Runtime's threads spin for about 30 ms after a run
        before = cpu_ns(pid_of(w))
        time.sleep(0.5)
        assert cpu_ns(pid_of(w)) - before < 20e6


def cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((t / "schedstat").read_text().split()[0]) for t in tasks)


@pytest.mark.slow
def test_session_hints_of_the_file_are_applied(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["x"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
    plain = hand_made(tmp_path, nodes)
    frozen_folder = tmp_path / "frozen"
    frozen_folder.mkdir()
    frozen = hand_made(frozen_folder, nodes, metadata={SESSION_KEY: '{"graph_optimization_level": "disable"}'})
    with Worker.for_model(plain) as a, Worker.for_model(frozen) as b:
        assert sum(a.info["nodes"].values()) == 1
        assert sum(b.info["nodes"].values()) == 2


def test_a_truncated_file_is_a_bad_model(tiny: Model, tmp_path: Path) -> None:
    m = hand_made(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])
    m.path.write_bytes(m.path.read_bytes()[:-20])
    with pytest.raises(BadModel, match="edited"):
        Worker.for_model(m)
    m.__dict__["check_unchanged"] = lambda: None
    with pytest.raises(BadModel, match="cannot load"):
        Worker.for_model(m)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadModel, match="Mystery"):
        Worker.for_model(hand_made(tmp_path, [helper.make_node("Mystery", ["x"], ["y"], domain="com.example")]))


def test_a_failing_node_is_named(tmp_path: Path) -> None:
    shape = helper.make_node("Constant", [], ["s"], value_ints=[3, 3])
    m = hand_made(tmp_path, [shape, helper.make_node("Reshape", ["x", "s"], ["y"], "to/square")])
    with Worker.for_model(m) as w, pytest.raises(BadModel, match="to/square"):
        w.run({"x": np.zeros((1, 4), np.float32)})


def test_nan_is_an_answer_not_an_error(tmp_path: Path) -> None:
    m = hand_made(tmp_path, [helper.make_node("Sqrt", ["x"], ["y"])])
    with Worker.for_model(m) as w:
        assert np.isnan(w.run({"x": np.full((1, 4), -1, np.float32)})["y"]).all()


def test_a_provider_that_is_not_there_is_an_error(tiny: Model) -> None:
    with pytest.raises(ProviderError, match="not in the installed onnxruntime"):
        Worker.for_model(tiny, "dnnl")


def test_a_provider_that_left_all_nodes_to_the_cpu_is_an_error() -> None:
    from collections import Counter

    from onnx_lab.runtime.sessions import _require_provider

    cuda, cpu = "CUDAExecutionProvider", "CPUExecutionProvider"
    with pytest.raises(ProviderError, match="none of the nodes"):
        _require_provider(cuda, {cpu: Counter(MatMul=3)}, [cuda, cpu])
    with pytest.raises(ProviderError, match="fell back"):
        _require_provider(cuda, {cpu: Counter(MatMul=3)}, [cpu])
    _require_provider(cuda, {cuda: Counter(MatMul=3), cpu: Counter(Shape=9)}, [cuda, cpu])


@pytest.mark.slow
def test_the_pool_keeps_the_last_used(tiny: Model) -> None:
    client.close_sessions()
    models = [lab.samples.tiny(seed=s) for s in range(POOL_SIZE + 1)]
    workers = [session(m) for m in models[:POOL_SIZE]]
    assert session(models[0]) is workers[0]
    session(models[POOL_SIZE])
    assert workers[0].alive
    assert not workers[1].alive, "the least recently used one made room"
    again = session(models[1])
    assert again.alive
    os.kill(pid_of(again), signal.SIGKILL)
    while again.alive:
        time.sleep(0.01)
    assert session(models[1]).run(model_feeds(models[1]))["logits"].shape == (1, 4), "a dead one is opened anew"
    client.close_sessions()


def test_importing_the_client_loads_no_engine() -> None:
    code = "import onnx_lab.runtime.client, onnx_lab.runtime.doctor, sys; print('onnxruntime' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
