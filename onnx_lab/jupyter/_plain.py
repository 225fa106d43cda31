"""``--code``: finds who writes the plain code of a magic's step, and shows it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnx_lab.card import megabytes
from onnx_lab.jupyter._code import Code
from onnx_lab.jupyter._parse import Call
from onnx_lab.model import Model
from onnx_lab.pair import ClipPair
from onnx_lab.runtime.keras_models import is_keras
from onnx_lab.runtime.target import Target

_WRITES_ITS_OWN = {
    "export": "onnx_lab.exporters.export",
    "simplify": "onnx_lab.transforms.simplify",
    "optimize": "onnx_lab.transforms.optimize",
    "fix_shapes": "onnx_lab.transforms.fix_shapes",
    "fp16": "onnx_lab.transforms.fp16",
    "bf16": "onnx_lab.transforms.bf16",
    "mixed_precision": "onnx_lab.transforms.mixed_precision",
    "quantize": "onnx_lab.transforms.quantize",
}


def plain_code(verb: str, call: Call) -> Code:
    """The code that `call` of `verb` amounts to, with a comment that says which file is meant."""
    given = {k: v for k, v in call.arguments.items() if v is not None}
    if verb == "export" and not _is_torchs(given["obj"]):
        text = _of_the_export(given)
    elif verb.startswith("surgery."):
        text = _of_the_edit(verb, given)
    else:
        text = _own(_WRITES_ITS_OWN[verb], verb, given) if verb in _WRITES_ITS_OWN else _measuring()[verb](given)
    return Code("\n".join([*_which_file(call), text]))


def _is_torchs(obj: Any) -> bool:
    """Whether torch.onnx.export alone makes the file, so that its code is known before anything is run."""
    if isinstance(obj, str | Path):
        return not Path(obj).exists() or (Path(obj) / "config.json").is_file()
    return any(k.__module__.startswith("torch.nn.") for k in type(obj).__mro__) and not is_keras(obj)


def _of_the_export(given: Mapping[str, Any]) -> str:
    """Other converters are given what the export finds out first, inputs and types: it is run, or was and is kept."""
    made = importlib.import_module("onnx_lab").export(**given)
    m = made.image if isinstance(made, ClipPair) else made
    if not m.lineage or m.lineage[0].verb != "export":
        return f"# {m.name} is an ONNX file already"
    step = m.lineage[0]
    text: str = importlib.import_module(_WRITES_ITS_OWN["export"]).plain_code(**{**step.options, **step.notes})
    return text


def _of_the_edit(verb: str, given: Mapping[str, Any]) -> str:
    """An edit whose code needs what it finds out in the graph is run first, or was and is kept."""
    module = importlib.import_module(f"onnx_lab.transforms.{verb}")
    if not hasattr(module, "FOUND"):
        return _own(module.__name__, verb, given)
    from onnx_lab.transforms.code import code_for

    made: Model = getattr(module, verb.rpartition(".")[2])(**given)
    return code_for(made.lineage[-1])


def _own(module: str, verb: str, given: Mapping[str, Any]) -> str:
    write = importlib.import_module(module).plain_code
    options = dict(given)
    if verb == "export":
        options["source"] = type(given["obj"]).__name__ if not isinstance(given["obj"], str) else given["obj"]
    if "target" in options:
        options["target"] = str(Target.of(options["target"]))
    known = inspect.signature(write).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in known.values())
    own = {k: v for k, v in options.items() if k not in ("m", "obj", "example", "name")}
    text: str = write(**{k: v for k, v in own.items() if takes_all or k in known})
    return text


def _measuring() -> dict[str, Callable[[Mapping[str, Any]], str]]:
    from onnx_lab.measure import _fault_code, code, diff_code
    from onnx_lab.measure._nodes_code import nodes_code

    def infer(given: Mapping[str, Any]) -> str:
        m, feeds = given["m"], given["feeds"]
        if isinstance(m, ClipPair):
            return code.pair_code(m.image.inputs[0], m.logit_scale, m.logit_bias, target=given.get("target"))
        text = feeds if isinstance(feeds, str) else None
        options = {k: given[k] for k in ("target", "max_length") if k in given}
        return code.infer_code(m.inputs, hints=m.session_hints, text=text, **options)

    def bench(given: Mapping[str, Any]) -> str:
        m, target = _first_model(given["contestants"]), _first(given.get("targets"))
        shape = {k: _first(given[k]) for k in ("batch", "seq") if k in given}
        if m is None:
            return code.bench_code(target=target, **shape)
        return code.bench_code(m.inputs, target=target, hints=m.session_hints, **shape)

    def profile(given: Mapping[str, Any]) -> str:
        m = given["m"]
        own = {k: given[k] for k in ("batch", "seq", "target") if k in given}
        return code.profile_code(m.inputs, hints=m.session_hints, **own)

    return {
        "inspect": lambda _: code.inspect_code(),
        "nodes": lambda given: nodes_code(given.get("what", "*")),
        "view": lambda _: diff_code.view_code(),
        "diff": lambda _: diff_code.diff_code(),
        "infer": infer,
        "compare": lambda given: code.compare_code(given.get("target")),
        "accuracy": lambda given: code.accuracy_code(given.get("target")),
        "bench": bench,
        "profile": profile,
        "why": profile,
        "trace": lambda _: code.trace_code(),
        "explain": lambda given: _own(_WRITES_ITS_OWN["optimize"], "optimize", given),
        "overflows": lambda _: _fault_code.overflows_code(),
        "reduce": lambda _: _fault_code.reduce_code(),
        "best": _recipes,
        "verdict": lambda _: code.accuracy_code() + "\n\n# and its speed:\n" + code.bench_code(),
        "doctor": lambda _: code.doctor_code(),
        "jobs": lambda _: "import onnx_lab as lab\n\nprint(lab.jobs())",
    }


def _recipes(given: Mapping[str, Any]) -> str:
    """Each recipe that would be tried; the measuring is that of bench and verdict."""
    from onnx_lab.recipes.recipe import Recipe
    from onnx_lab.recipes.shortlist import shortlist

    target = given.get("target", "auto")
    words = [t for t in (target if isinstance(target, list) else [target]) if t != "auto"] or ["cpu"]
    options = {"calibrated": "calibration" in given, "padding": given.get("padding", True)}
    picks = shortlist(given["m"], [Target.of(w) for w in words], **options)
    return "\n\n".join(f"# {p.why}\n{Recipe(*p.steps, name=p.name).to_python()}" for p in picks if p.steps)


def _which_file(call: Call) -> list[str]:
    """``# model.onnx: fp32.save("model.onnx")  (438.0 MB)`` for the Models that the script reads."""
    files = {"m": "model.onnx", "contestants": "model.onnx", "models": "model.onnx", "a": "a.onnx", "b": "b.onnx"}
    lines = []
    for name, file in files.items():
        m = _first_model(call.arguments.get(name))
        if m is not None:
            typed = call.typed[name][0]
            source = typed if typed.lower().endswith(".onnx") else f'{typed}.save("{file}")'
            lines.append(f"# {file}: {source}  ({megabytes(m.size_bytes)})")
    return lines


def _first_model(value: Any) -> Model | None:
    things = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
    return next((t for t in things if isinstance(t, Model)), None)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else value
