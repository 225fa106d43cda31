"""The notebooks: they run from the top in a real kernel, and as saved they read without one."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from onnx_lab.jupyter import tour
from onnx_lab.runtime.client import close_sessions

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]*.ipynb"))
LIMIT_BYTES = 200_000
#: Binder gives 2 GB, and JupyterLab itself wants some of it.
LIMIT_MEMORY_BYTES = 1_500_000_000
#: Private memory of a process that has imported the CPU build of PyTorch (2.13.0), and of one that imports it here.
TORCH_CPU_BYTES = 150_000_000
_PRIVATE_BYTES_OF_TORCH = "import torch, psutil; m = psutil.Process().memory_info(); print(m.rss - m.shared)"


def read(path: Path) -> Any:
    import nbformat  # here, because it takes seconds that the quick tests of other files need not pay

    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    return book


def outputs(book: Any) -> list[Any]:
    return [o for c in book.cells if c.cell_type == "code" for o in c.outputs]


class PeakMemory(threading.Thread):
    """The largest memory that all processes started below this one held at once, without what they share with files.

    Libraries that are mapped from disk do not count: the kernel can drop them, and no limit of a container is hit. Nor
    does what the CUDA build of PyTorch holds in each process beyond the CPU build, which Binder has. Nor do processes
    that ran before, and one that has just been forked: until its ``exec`` it shows its parent's memory a second time.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self.at_the_peak: list[str] = []
        self._over = threading.Event()
        self._cuda: set[int] = set()
        own = subprocess.check_output([sys.executable, "-c", _PRIVATE_BYTES_OF_TORCH])
        self._extra = max(0, int(own) - TORCH_CPU_BYTES)
        self._before = {p.pid for p in psutil.Process().children(recursive=True)}

    def run(self) -> None:
        while not self._over.wait(0.1):
            held: dict[str, int] = {}
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.Error, OSError):
                    if process.pid not in self._before and not self._is_a_fork(process):
                        name = f"{process.pid} {' '.join(process.cmdline())[-60:]}"
                        held[name] = self._private_bytes(process)
            if sum(held.values()) > self.bytes:
                self.bytes = sum(held.values())
                self.at_the_peak = [f"{size / 1e6:.0f} MB {name}" for name, size in held.items()]

    def _private_bytes(self, process: psutil.Process) -> int:
        memory = process.memory_info()
        return int(memory.rss - memory.shared - self._extra * self._has_cuda(process.pid))

    @staticmethod
    def _is_a_fork(process: psutil.Process) -> bool:
        parent = process.parent()
        young = time.time() - process.create_time() < 1.0
        return young and parent is not None and parent.cmdline() == process.cmdline()

    def _has_cuda(self, pid: int) -> bool:
        if pid not in self._cuda and "libtorch_cuda" in Path(f"/proc/{pid}/maps").read_text():
            self._cuda.add(pid)
        return pid in self._cuda

    def __enter__(self) -> PeakMemory:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()


@pytest.mark.slow
def test_peak_memory_counts_what_a_process_holds_and_not_what_a_fork_shows() -> None:
    hold = "import time; held = bytearray(300_000_000); time.sleep(0.5)"
    before = subprocess.Popen([sys.executable, "-c", hold])
    time.sleep(0.2)
    with PeakMemory() as peak:
        subprocess.run([sys.executable, "-c", f"{hold}; import os; os.fork(); time.sleep(0.5)"], check=True)
    before.wait()
    assert 300_000_000 < peak.bytes < 400_000_000, peak.at_the_peak


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs_from_the_top_without_noise(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNX_LAB_PROFILE", "tiny")
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    out = tmp_path / f"executed-{path.name}"
    close_sessions()  # of other tests: only the notebook's processes count
    with PeakMemory() as peak:
        assert tour.run(copy, out, timeout_s=600, quiet=True)
    print(f"{path.stem}: peak {peak.bytes / 1e6:.0f} MB")
    assert peak.bytes < LIMIT_MEMORY_BYTES, peak.at_the_peak
    book = read(out)
    assert not [o for o in outputs(book) if o.output_type == "error"]
    noise = [o.text for o in outputs(book) if o.output_type == "stream" and o.name == "stderr"]
    assert not noise, noise
    assert not [o for o in outputs(book) if any("widget-view" in mime for mime in o.get("data", {}))]
    assert out.stat().st_size < LIMIT_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_is_saved_with_outputs_that_need_no_kernel(path: Path) -> None:
    book = read(path)
    assert path.stat().st_size < LIMIT_BYTES
    assert "widgets" not in book.metadata
    assert all(c.execution_count for c in book.cells if c.cell_type == "code"), "saved without having been run"
    for o in outputs(book):
        assert o.output_type != "error"
        if "data" in o:
            assert "text/plain" in o.data, "every output reads as text"
            assert not any("widget-view" in mime for mime in o.data)
        assert "Warning" not in str(o.get("text", ""))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_has_a_summary_for_the_tour_and_names_no_machine_path(path: Path) -> None:
    book = read(path)
    assert "ms" in tour.summary(book)
    text = path.read_text()
    assert "/home/" not in text
    assert "/root/" not in text


def test_there_are_notebooks() -> None:
    assert [p.stem for p in NOTEBOOKS][:2] == ["00_quickstart", "01_bert"]
