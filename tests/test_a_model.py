"""Whatever is given in place of a Model is refused by each function in the same words, with the way to a Model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnx_lab as lab
from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput
from onnx_lab.surgery import EDITS

FEEDS: dict[str, Any] = {"x": np.ones((1, 8), np.float32)}
#: What comes behind the Model: right values, so that only the Model is wrong.
BEHIND: dict[str, tuple[Any, ...]] = {
    "mixed_precision": ([FEEDS],), "overflows": ([FEEDS],), "compare": ("second", FEEDS),
    "trace": ("second", FEEDS), "diff": ("second",), "why": ("second",), "infer": (FEEDS,),
    "reduce": ("second", FEEDS), "accuracy": ("task",),
    "surgery.set_batch": (4,), "surgery.static": ("batch=4",), "surgery.extract": (None, "logits"),
    "surgery.rename": ("logits", "scores"), "surgery.input_dtype": ("x", "float16"),
    "surgery.put_in_normalization": ("x", 0.5, 0.5), "surgery.set_weight": ("w", 1.0),
    "surgery.rewrite": ([(lambda op, x: op.Abs(op.Abs(x)), lambda op, x: op.Abs(x))],), "surgery.merge": ("second",),
    "surgery.dynamic": (), "surgery.set_opset": (18,), "surgery.reorder": ("x",), "surgery.remove_output": ("x",),
    "surgery.remove_input": ("x",), "surgery.add_input": ("y",), "surgery.split": ("x",),
    "surgery.expose": ("x",), "surgery.external_data": (), "surgery.set_attribute": ("n", "a", 1),
    "surgery.delete_attribute": ("n", "a"), "surgery.remove_node": ("n",), "surgery.insert_node": ("x", "Abs"),
    "surgery.make_node": ("Abs", ["x"], "y"), "surgery.replace_op": ("n", "Abs"), "surgery.prelu_slope": (),
    "surgery.custom_to_function": ("Op", "f"), "surgery.fold_normalization": (),
}  # fmt: skip
VERBS = (
    "simplify optimize fix_shapes fp16 bf16 mixed_precision quantize buckets explain overflows best compare accuracy "
    "bench profile why trace reduce inspect nodes diff infer view"
).split()


def call(verb: str, given: Any) -> Any:
    owner, _, name = verb.rpartition(".")
    m = lab.samples.tiny()
    task = lab.Task("t", [FEEDS], np.zeros(1, np.int64), ("a", "b"))
    behind = [{"second": m, "task": task}.get(x, x) if isinstance(x, str) else x for x in BEHIND.get(verb, ())]
    return getattr(getattr(lab, owner) if owner else lab, name)(given, *behind)


@pytest.mark.parametrize("verb", [*VERBS, *(f"surgery.{e}" for e in EDITS)])
def test_a_path_is_not_loaded_and_the_way_is_told(verb: str) -> None:
    with pytest.raises(BadInput) as e:
        call(verb, "some/a.onnx")
    assert e.value.came == "a str 'some/a.onnx'"
    assert "Model" in e.value.accepted
    assert e.value.do == "lab.load('some/a.onnx') first"


def test_paths_modules_and_anything_else() -> None:
    class Net:
        def state_dict(self) -> dict[str, Any]:
            return {}

    said = {}
    for one in (Path("a.onnx"), Net(), None, [lab.samples.tiny()]):
        with pytest.raises(BadInput) as e:
            lab.quantize(one)  # type: ignore[arg-type]
        said[type(one).__name__] = f"{e.value.came}: {e.value.do}"
    assert said.pop("PosixPath", said.pop("WindowsPath", "")).endswith("Path 'a.onnx': lab.load('a.onnx') first")
    assert said["Net"] == "a Net, a network of a framework: lab.export(net) first"
    assert said["NoneType"].startswith("a NoneType: lab.load(path)")
    assert said["list"].startswith("a list [")


def test_the_second_model_and_those_of_a_list() -> None:
    m = lab.samples.tiny()
    for verb, *rest in (("diff",), ("why",), ("compare", FEEDS), ("bench",), ("verdict",)):
        given = [[m, "b.onnx"]] if verb in ("bench", "verdict") else [m, "b.onnx", *rest]
        with pytest.raises(BadInput, match=r"a str 'b.onnx'"):
            getattr(lab, verb)(*given)


def test_models_pass() -> None:
    check_model(lab.samples.tiny(), lab.samples.tiny(seed=1))
