"""Job: results, errors, progress and logs come back; a cancel, a cap, a hang and a crash end it and nothing else."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import psutil
import pytest

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab.background.job import VERBS
from onnx_lab.errors import BadInput, Stopped, WorkerError


def below(name: str = "onnx_lab.background") -> list[psutil.Process]:
    """Children of this process that are jobs."""
    found = []
    for p in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(p.cmdline()):
                found.append(p)
        except psutil.Error:
            pass
    return found


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    yield
    for job in lab.jobs():
        job.cancel()


def bench(**options: Any) -> lab.Job:
    """A benchmark that takes as long as it is given."""
    m = lab.samples.tiny()
    return lab.start("bench", [m, lab.simplify(m, name="slim")], batch=1, budget_s=60, **options)


def until(job: lab.Job, kind: str) -> None:
    """Wait until it has told an event of this kind."""
    end = time.monotonic() + 60
    while not (job.progress and job.progress["kind"] == kind) and not job.done and time.monotonic() < end:
        time.sleep(0.02)
    assert job.progress, job
    assert job.progress["kind"] == kind, job


@pytest.mark.slow
def test_the_result_is_that_of_the_function() -> None:
    m = lab.samples.tiny()
    job = lab.start("quantize", m, name="small")
    assert job.result == lab.quantize(m, name="small")
    assert (job.state, job.where, job.done) == ("done", "child process", True)
    assert job.number in [j.number for j in lab.jobs()]
    assert lab.jobs()[job.number] is job
    assert "quantize tiny" in str(job)
    assert not below()


def test_an_error_keeps_its_class_and_its_words() -> None:
    job = lab.start("optimize", lab.samples.tiny(), disable=["no_such_step"])
    with pytest.raises(BadInput) as e:
        _ = job.result
    assert "no_such_step" in str(e.value)
    assert e.value.accepted
    assert job.state == "failed"
    with pytest.raises(BadInput, match="a job 'optimise'"):
        lab.start("optimise", lab.samples.tiny())


@pytest.mark.parametrize(
    ("positional", "options", "words"),
    [
        (1, {"nonsense": 1}, ["no option 'nonsense'", "accepted: m, target, disable"]),
        (1, {"tagret": "cpu"}, ["no option 'tagret'", "did you mean 'target'?"]),
        (1, {"memory": 100}, ["no option 'memory'", "did you mean 'memory_mb'?"]),
        (0, {}, ["optimize: m left out", "lab.start('optimize', m)"]),
        (2, {}, ["2 values by position", "at most 1: m"]),
        (1, {"m": 1}, ["m is given twice"]),
        (1, {"timeout_s": "3"}, ["timeout_s='3'", "a number above 0"]),
        (1, {"memory_mb": float("nan")}, ["memory_mb=nan", "a number above 0"]),
    ],
)
def test_what_the_function_does_not_take_is_told_before_a_child_starts(
    positional: int, options: dict[str, Any], words: list[str]
) -> None:
    before = len(lab.jobs())
    with pytest.raises(BadInput) as e:
        lab.start("optimize", *[lab.samples.tiny()] * positional, **options)
    assert all(w in str(e.value) for w in words), str(e.value)
    assert len(lab.jobs()) == before


@pytest.mark.parametrize("verb", [*VERBS, "surgery.expose", "surgery.merge"])
def test_the_function_itself_says_what_a_job_takes(verb: str) -> None:
    with pytest.raises(BadInput, match=rf"{verb}: no option 'no_such_option'"):
        lab.start(verb, no_such_option=1)


def test_the_list_says_why_one_failed() -> None:
    job = lab.start("optimize", lab.samples.tiny(), disable=["no_such_step"]).wait()
    row = next(line for line in str(lab.jobs()).splitlines() if line.split()[:1] == [str(job.number)])
    assert "failed" in row
    assert str(job.error).splitlines()[0] in row


@pytest.mark.slow
def test_a_benchmark_tells_how_far_it_is_and_ends_at_once_when_cancelled() -> None:
    before = set(psutil.pids())
    job = bench()
    until(job, "round")
    engines = [p for p in psutil.Process().children(recursive=True) if p.pid not in before]
    assert len(engines) >= 2  # the job and the processes of its contestants
    start = time.monotonic()
    job.cancel()
    assert time.monotonic() - start < 1.0
    assert job.state == "cancelled"
    with pytest.raises(Stopped, match="cancelled"):
        _ = job.result
    _, alive = psutil.wait_procs(engines, timeout=3)
    assert not alive
    job.cancel()  # a second time does no harm


def test_what_was_being_made_is_not_left_half_written() -> None:
    job = lab.start("mixed_precision", lab.samples.tiny(features=64), [{"x": np.ones((2, 64), np.float32)}])
    time.sleep(0.5)
    job.cancel()
    left = [p for p in workspace.root().rglob("*") if p.suffix in (".tmp", ".part") and p.stat().st_mtime > job.started]
    assert not left
    assert lab.quantize(lab.samples.tiny(), name="works").name == "works"


@pytest.mark.slow
def test_a_kernel_interrupt_while_waiting_ends_it() -> None:
    job = bench()
    until(job, "round")
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        job.wait()
    assert time.monotonic() - start < 1.5
    assert job.state == "cancelled"


def test_waiting_has_an_end_of_its_own() -> None:
    job = bench()
    assert not job.wait(0.2).done
    job.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "most likely for using too much memory"), (signal.SIGSEGV, "segmentation fault")],
)
def test_a_child_that_dies_is_an_error_and_the_others_go_on(number: int, words: str) -> None:
    other = bench()
    job = lab.start("trace", *[lab.samples.tiny()] * 2, [{"x": np.ones((1, 8), np.float32)}] * 200_000)
    assert job._process is not None
    mine = psutil.Process(job._process._child.pid)
    time.sleep(1.0)
    mine.send_signal(number)
    with pytest.raises(WorkerError) as e:
        _ = job.result
    assert words in str(e.value)
    assert "trace tiny" in str(e.value)
    assert not other.done


@pytest.mark.slow
def test_a_memory_cap_names_what_was_held() -> None:
    job = lab.start("trace", *[lab.samples.tiny()] * 2, [{"x": np.ones((50, 8), np.float32)}] * 100_000, memory_mb=60)
    with pytest.raises(WorkerError, match=r"memory cap: it held .* of 60"):
        _ = job.result
    assert job.peak_bytes > 60e6


@pytest.mark.slow
def test_a_hang_ends_in_time() -> None:
    start = time.monotonic()
    with pytest.raises(WorkerError, match="did not end in time"):
        _ = bench(timeout_s=2.0).result
    assert time.monotonic() - start < 5


@pytest.mark.slow
def test_in_turn_it_waits_for_a_measurement_and_none_begins_meanwhile() -> None:
    m = lab.samples.tiny()
    measuring = bench()
    until(measuring, "round")
    turn = lab.start("trace", m, m, [{"x": np.ones((1, 8), np.float32)}] * 200_000, in_turn=True)
    beside = lab.start("quantize", m, name="beside")
    until(turn, "waiting")
    assert beside.result.name == "beside", "without it, nothing waits"
    measuring.cancel()
    until(turn, "tracing")
    other = bench()
    until(other, "waiting")
    assert other.progress is not None
    assert other.progress["for"].startswith(f"job {turn.number} of process")
    turn.cancel()
    until(other, "round")
    other.cancel()


@pytest.mark.slow
def test_a_measurement_in_turn_does_not_wait_for_itself() -> None:
    assert lab.start("bench", [lab.samples.tiny()], budget_s=0.5, in_turn=True).wait(30).result.rows


@pytest.mark.slow
def test_it_can_be_awaited() -> None:
    async def both() -> list[Any]:
        jobs = [lab.start("optimize", lab.samples.tiny(features=n)) for n in (8, 16)]
        return [await job for job in jobs]

    assert [m.inputs[0].shape[1] for m in asyncio.run(both())] == [8, 16]


@pytest.mark.slow
def test_watchers_hear_events_and_the_end() -> None:
    heard: list[tuple[str, bool]] = []
    job = lab.start("bench", lab.samples.tiny(), batch=1, budget_s=1)
    job.watch(lambda j: heard.append(((j.progress or {}).get("kind", ""), j.done)))
    job.wait()
    time.sleep(0.1)
    assert heard[-1][1]
    assert {"round"} <= {kind for kind, _ in heard}
    late: list[bool] = []
    job.watch(lambda j: late.append(j.done))
    assert late == [True]


def test_what_cannot_travel_works_in_the_kernel_and_says_so() -> None:
    feeds = ({"x": np.ones((1, 8), np.float32)} for _ in range(3))
    m = lab.samples.tiny()
    job = lab.start("compare", m, m, feeds)
    assert job.result
    assert job.where == "kernel"
    assert "iterator" in str(job)


@pytest.mark.slow
def test_what_it_prints_is_its_log() -> None:
    class Told(dict):  # type: ignore[type-arg]
        """A notebook's class travels by value; this one speaks when the child opens it."""

        def __reduce__(self) -> Any:
            return _speak, (dict(self),)

    job = lab.start("compare", *[lab.samples.tiny()] * 2, Told(x=np.ones((1, 8), np.float32)))
    assert job.result
    assert "opened there" in job.log


def _speak(value: dict[str, Any]) -> dict[str, Any]:
    print("opened there", flush=True)
    return value


@pytest.mark.slow
def test_a_module_of_the_notebook_travels() -> None:
    import torch

    class Net(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    job = lab.start("export", Net(), torch.ones(2, 3))
    assert job.result.inputs[0].name == "x"
    assert job.where == "child process"
    assert job.name == "Net"
