from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from traitlets import TraitError

import onnx_lab as lab
from onnx_lab import errors
from onnx_lab.errors import BadInput, OnnxLabError
from onnx_lab.jupyter._code import Code
from onnx_lab.jupyter._manual import Manual
from onnx_lab.jupyter.magics import VERBS
from onnx_lab.measure.inspect import Inspection
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target

LOADED = """
import json, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "onnx_lab")
print(json.dumps(sorted(set(sys.modules) - before)))
"""
HEAVY = {"torch", "onnx", "onnxruntime", "onnxscript", "onnx_ir", "plotly", "pandas", "ipywidgets", "numpy"}


def test_loading_is_light() -> None:
    out = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    new = set(json.loads(out.splitlines()[-1]))
    assert not {m.split(".")[0] for m in new} & HEAVY
    assert len(new) < 60, sorted(new)


def test_loading_prints_nothing_and_twice_is_once(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    matchers = len(notebook.shell.Completer.custom_matchers)
    notebook.shell.extension_manager.loaded.discard("onnx_lab")
    notebook.run("%load_ext onnx_lab")
    assert len(notebook.shell.Completer.custom_matchers) == matchers
    assert capsys.readouterr().out == ""


def test_unloading_takes_everything_back(notebook: Any) -> None:
    errors.debug = True
    notebook.run("%unload_ext onnx_lab")
    manager = notebook.shell.magics_manager
    assert not [n for n in manager.magics["line"] if n.startswith("onnx_")]
    assert "OnnxLab" not in manager.registry
    assert not [c for c in notebook.shell.configurables if type(c).__name__ == "OnnxLab"]
    assert not notebook.shell.Completer.custom_matchers
    assert not errors.debug


def test_each_verb_is_a_magic(notebook: Any) -> None:
    assert {f"onnx_{v}" for v in VERBS} <= set(notebook.shell.magics_manager.magics["line"])


def test_a_magic_returns_what_its_function_returns(notebook: Any) -> None:
    shown = notebook.run("%onnx_inspect m")
    notebook.run("kept = %onnx_inspect m")
    assert isinstance(shown, Inspection)
    assert shown.operators == notebook.ns["kept"].operators


def test_a_semicolon_silences_and_still_assigns(notebook: Any) -> None:
    assert notebook.run("%onnx_inspect m;") is None
    notebook.run("kept = %onnx_inspect m;")
    assert isinstance(notebook.ns["kept"], Inspection)


def test_names_of_the_function_the_cell_is_in(notebook: Any) -> None:
    cell = "def look(here):\n    return get_ipython().run_line_magic('onnx_inspect', 'here')\nlook(wide).name"
    assert notebook.run(cell) == "tiny"


def test_a_transform_takes_a_path_with_spaces(notebook: Any, tmp_path: Path) -> None:
    path = notebook.ns["m"].save(tmp_path / "my model.onnx")
    made = notebook.run(f"%onnx_simplify '{path}' --name slim")
    assert isinstance(made, Model)
    assert made.name == "slim"


def test_infer_with_options(notebook: Any) -> None:
    notebook.ns["feeds"] = {"x": np.zeros((1, 8), np.float32)}
    answer = notebook.run("%onnx_infer m feeds --labels a,b,c,d  # four classes")
    assert set(answer.classes) == set("abcd")


def test_errors_have_no_traceback_and_fail_the_cell(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    done = notebook.shell.run_cell("%onnx_inspect mm")
    assert isinstance(done.error_in_exec, BadInput)
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert text.splitlines()[0] == "BadInput: nothing here is called 'mm'"
    assert "did you mean 'm'?" in text
    assert "Traceback" not in text


def test_debug_shows_the_whole_trace(notebook: Any, capsys: pytest.CaptureFixture[str]) -> None:
    notebook.run("%config OnnxLab.debug = True")
    notebook.shell.run_cell("%onnx_inspect mm")
    assert "Traceback (most recent call last)" in capsys.readouterr().out
    notebook.run("%config OnnxLab.debug = False")
    assert not errors.debug


@pytest.mark.parametrize("verb", VERBS)
def test_help_and_question_mark_show_the_same_manual(notebook: Any, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    manual = notebook.run(f"%onnx_{verb} -h")
    assert isinstance(manual, Manual)
    pages: list[Any] = []
    monkeypatch.setattr("IPython.core.page.page", lambda data, *_, **__: pages.append(data))
    notebook.run(f"%onnx_{verb}?")
    text = pages[0]["text/plain"]
    for line in repr(manual).splitlines():
        assert line.strip() in text
    assert f"%onnx_{verb}" in manual._repr_html_()
    assert max(map(len, repr(manual).splitlines())) <= 110


def test_code_is_shown_and_nothing_is_run(notebook: Any, spied: Callable[..., None]) -> None:
    def simplify(m: Model, *, tool: str = "onnxslim") -> Model:
        raise AssertionError("ran")

    spied("simplify", simplify)
    code = notebook.run("%onnx_simplify m --code")
    assert isinstance(code, Code)
    assert "import onnxslim" in str(code)
    assert str(code).startswith('# model.onnx: m.save("model.onnx")')
    assert "<span" in code._repr_html_()


CODED = (
    "inspect m",
    "infer m feeds",
    "bench m wide --batch 2",
    "simplify m",
    "quantize m",
    "fp16 m",
    "bf16 m",
    "optimize m",
)


@pytest.mark.parametrize(
    "line",
    [
        *CODED,
        "fix_shapes m",
        "doctor",
        "compare m m feeds",
        "verdict m wide",
        "why m wide",
        "best m",
        "mixed_precision m {[feeds]}",
    ],
)
def test_shown_code_is_python_that_compiles(notebook: Any, line: str) -> None:
    notebook.ns["feeds"] = {"x": np.zeros((1, 8), np.float32)}
    compile(str(notebook.run(f"%onnx_{line} --code")), "<shown>", "exec")


@pytest.mark.slow
def test_a_search_takes_a_list_of_feeds(notebook: Any) -> None:
    notebook.ns["batches"] = [{"x": np.ones((1, 8), np.float32)}]
    mixed = notebook.run("%onnx_mixed_precision m batches --rtol 0.1")
    assert mixed.lineage[-1].options["rtol"] == 0.1


def test_a_list_of_feeds_is_calibration_data(notebook: Any) -> None:
    notebook.ns["feeds"] = [{"x": np.random.default_rng(i).normal(size=(4, 8)).astype(np.float32)} for i in range(3)]
    small = notebook.run("%onnx_quantize m --method static --data feeds")
    assert small.lineage[-1].options["method"] == "static"


def test_the_code_of_a_converter_is_that_of_its_export(notebook: Any, tmp_path: Path) -> None:
    from sklearn.linear_model import Ridge

    notebook.ns["ridge"] = Ridge().fit(np.eye(4), np.arange(4.0))
    source = str(notebook.run("%onnx_export ridge --code"))
    assert "from skl2onnx import to_onnx" in source
    assert "FloatTensorType([None, 4])" in source
    lab.samples.tiny().save(tmp_path / "tiny.onnx")
    assert str(notebook.run(f"%onnx_export {tmp_path}/tiny.onnx --code")) == "# tiny is an ONNX file already"


@pytest.mark.parametrize("line", ["inspect m", "infer m feeds", "bench m", "profile m"])
def test_shown_code_runs(notebook: Any, line: str, tmp_path: Path) -> None:
    notebook.ns["feeds"] = {"x": np.zeros((1, 8), np.float32)}
    source = str(notebook.run(f"%onnx_{line} --code"))
    notebook.ns["m"].save(tmp_path / "model.onnx")
    done = subprocess.run([sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_defaults_come_from_config(notebook: Any, spied: Callable[..., None]) -> None:
    seen: list[Any] = []

    def infer(m: Model, *, target: str | None = None, threads: int | None = None) -> None:
        """Infer."""
        seen.append((target, threads))

    spied("infer", infer)
    notebook.run("%config OnnxLab.target = 'openvino'\n%config OnnxLab.threads = 2\n%onnx_infer m;")
    notebook.run("%onnx_infer m --target cpu --threads 1;")
    notebook.run("%config OnnxLab.target = ''\n%config OnnxLab.threads = 0\n%onnx_infer m;")
    assert seen == [("openvino", 2), ("cpu", 1), (None, None)]


def test_threads_travel_in_the_target_where_there_is_no_option_for_them(
    notebook: Any, spied: Callable[..., None]
) -> None:
    seen: list[Any] = []

    def accuracy(m: Model, *, target: str | Target | None = None) -> None:
        """Accuracy."""
        seen.append(target)

    spied("accuracy", accuracy)
    notebook.run("%config OnnxLab.threads = 3\n%onnx_accuracy m --target openvino;\n%config OnnxLab.threads = 0")
    assert seen == [Target("openvino", threads=3)]


def test_config_refuses_an_unknown_target(notebook: Any) -> None:
    magics = notebook.shell.magics_manager.registry["OnnxLab"]
    with pytest.raises(TraitError, match="did you mean 'openvino'"):
        magics.target = "opennvino"


def test_bench_calls_modules_by_what_was_typed(notebook: Any, spied: Callable[..., None]) -> None:
    seen: list[Any] = []

    def bench(contestants: Any, *, against: Any = None, progress: Any = None) -> None:
        """Bench.

        Parameters
        ----------
        contestants : Model, torch.nn.Module, or a list of them
        """
        seen.append((contestants, against))
        progress({"kind": "start", "of": 1.0, "contestants": [], "grid": []})

    class Module: ...

    spied("bench", bench)
    notebook.ns.update(net=Module(), other=lab.samples.tiny(seed=1), slim=lab.simplify(lab.samples.tiny(), name="slim"))
    notebook.run("%onnx_bench m net slim --against net;")
    notebook.run("%onnx_bench m slim;")
    notebook.run("%onnx_bench m other;")
    (first, against), (second, _), (third, _) = seen
    assert list(first) == ["tiny", "net", "slim"]
    assert against is notebook.ns["net"]
    assert isinstance(second, Sequence)
    assert list(third) == ["m", "other"], "two Models of one name are told apart by what was typed"


def test_an_interrupt_is_an_error_without_noise(notebook: Any, spied: Callable[..., None]) -> None:
    def doctor() -> None:
        """Doctor."""
        raise KeyboardInterrupt

    spied("doctor", doctor)
    with pytest.raises(OnnxLabError, match="interrupted") as e:
        notebook.run("%onnx_doctor")
    assert isinstance(e.value, KeyboardInterrupt)
    assert e.value._render_traceback_()[0].startswith("Stopped:")
