"""Shared by all tests: a workspace of their own, and skips that are failures where CI says so."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # a script that starts the tests in the background does that
    signal.signal(signal.SIGINT, signal.default_int_handler)

#: Helper modules, which looking for doctests would import: Paddle alone takes seconds.
collect_ignore = ["exporters/nets.py", "exporters/paddle_nets.py"]

# Keras looks for TensorFlow when it saves, also on the torch backend; beside PyTorch and Paddle in one process it can
# abort all tests. Those of its exporter run it in processes of their own, as the lab does.
sys.modules["tensorflow"] = None  # type: ignore[assignment]


_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pytest_configure() -> None:
    """Several workers share the cores out: engines of two processes that spin for the same cores wait for each other.

    On two cores the tests of six heavy files took 173 s with a core each, and 216 s with both for both.
    """
    worker, count = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if worker and len(_CORES) >= count:
        os.sched_setaffinity(0, _CORES[int(worker.removeprefix("gw")) :: count])


@pytest.fixture
def all_cores() -> Iterator[None]:
    """For a test that starts several processes at once."""
    own = os.sched_getaffinity(0) if _CORES else set()
    if _CORES:
        os.sched_setaffinity(0, _CORES)
    yield
    if _CORES:
        os.sched_setaffinity(0, own)


@pytest.fixture(scope="session", autouse=True)
def workspace_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test touches the user's workspace; one is shared by all so that caching helps."""
    home = Path(os.environ.get("ONNX_LAB_TEST_HOME") or tmp_path_factory.mktemp("onnx_lab_home"))
    before = os.environ.get("ONNX_LAB_HOME")
    os.environ["ONNX_LAB_HOME"] = str(home)
    yield home
    if before is None:
        del os.environ["ONNX_LAB_HOME"]
    else:
        os.environ["ONNX_LAB_HOME"] = before


#: Examples in docstrings that take about a second each: engines start, or something is measured.
_SLOW_EXAMPLES = (
    "onnx_lab.transforms.surgery.",
    "onnx_lab.transforms.length_buckets.",
    "onnx_lab.recipes.best.",
    "onnx_lab.measure.bench.",
    "onnx_lab.runtime.doctor.doctor",
)


#: Files that take minutes: begun last, they would keep one worker while the other has nothing left.
_LONG_FILES = ("test_notebooks.py", "test_frameworks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what a docstring cannot bear; the longest files come first."""
    items.sort(key=lambda item: item.path.name not in _LONG_FILES)
    for item in items:
        if isinstance(item, pytest.DoctestItem) and item.name.startswith(_SLOW_EXAMPLES):
            item.add_marker(pytest.mark.slow)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With CI=true a skipped test is a failure, unless it needs a GPU: an absent part is installed, not skipped."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if _is_unwanted_skip(report, item):
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true: {report.longrepr}"


def _is_unwanted_skip(report: pytest.TestReport, item: pytest.Item) -> bool:
    if os.environ.get("CI") != "true" or "gpu" in item.keywords:
        return False
    return report.skipped and not hasattr(report, "wasxfail")
