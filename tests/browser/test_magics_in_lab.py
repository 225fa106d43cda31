"""The magics in a real JupyterLab: errors that stop Run All, the live panel, interrupts, what a saved file shows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from lab_notebook import SETUP, Notebook

pytestmark = pytest.mark.slow

Opener = Callable[..., Notebook]


def test_run_all_stops_on_a_bad_path(open_notebook: Opener) -> None:
    notebook = open_notebook([SETUP, "%onnx_inspect nowhere.onnx", "print('not reached')"])
    notebook.run_all()
    (error,) = notebook.outputs(1)
    assert error["output_type"] == "error"
    assert error["ename"] == "BadInput"
    assert len(error["traceback"]) == 3, "what came, what is accepted, what to do"
    assert "Traceback" not in notebook.output(1).inner_text()
    assert notebook.executed(2) is None
    assert notebook.outputs(2) == []
