"""Jobs in a real JupyterLab, on three ipykernels: the kernel stays free, and a cancel is heard."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import pytest
from lab_notebook import SETUP, Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]

JOB = "job = lab.start('bench', [m, w], budget_s=60)"


def measuring(notebook: Notebook) -> None:
    """Wait until the job of the notebook has begun to time."""
    rounds = "(job.progress or {}).get('kind') == 'round'"
    notebook.wait(lambda: notebook.value(rounds) == "True", "a first round")


def test_the_kernel_answers_while_a_job_runs(open_notebook: Opener, kernel: str) -> None:
    notebook = open_notebook([SETUP, JOB], kernel=kernel)
    notebook.run(0)
    notebook.run(1, timeout_s=5)
    measuring(notebook)
    answers = [notebook.ask("1+1") for _ in range(15)]
    assert {a.text for a in answers} == {"2"}
    assert statistics.median(a.seconds for a in answers) < 0.3, answers
    assert notebook.value("job.state") == "'running'"


def test_a_job_is_cancelled_within_a_second(open_notebook: Opener, kernel: str) -> None:
    notebook = open_notebook([SETUP, JOB, "job.cancel()"], kernel=kernel)
    notebook.run(0)
    took = []
    for _ in range(3):
        notebook.run(1)
        measuring(notebook)
        began = time.monotonic()
        notebook.run(2)
        took.append(time.monotonic() - began)
        assert notebook.value("job.state") == "'cancelled'"
    assert statistics.median(took) < 1, took
