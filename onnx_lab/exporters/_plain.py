"""The plain torch code of an export: what a user takes to a project that does not have the lab."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def torch_code(source: str, call: Mapping[str, Any], opset: int, exporter: str, constant_folding: bool) -> str:
    """The code; `call` is what the export's notes hold under that key."""
    if not call:
        return _unknown_inputs(source, opset, exporter, constant_folding)
    inputs: Sequence[tuple[str, str, list[int | str], list[int]]] = call.get("inputs", [])
    names = [name for name, *_ in inputs]
    axes = {n: {i: d for i, d in enumerate(shape) if isinstance(d, str)} for n, _, shape, _ in inputs}
    axes = {n: named for n, named in axes.items() if named}
    tensors = ", ".join(f"{n!r}: {_tensor(dtype, example)}" for n, dtype, _, example in inputs)
    lines = [
        "import torch",
        "",
        f"net = ...  # the {source}, in eval mode: net.eval()",
        f"example = {{{tensors}}}",
    ]
    if exporter == "torchscript":
        lines += [
            "with torch.no_grad():",
            "    torch.onnx.export(",
            '        net, tuple(example.values()), "model.onnx", dynamo=False,',
            f"        input_names={names}, output_names={list(call.get('outputs', []))},",
            f"        dynamic_axes={axes},",
            f"        opset_version={opset}, do_constant_folding={constant_folding},",
            "    )",
        ]
        return "\n".join(lines)
    shapes = {n: axes.get(n) for n in names}
    lines += [
        "with torch.no_grad():",
        "    program = torch.onnx.export(",
        "        net, (), kwargs=example, dynamo=True,",
        f"        input_names={names}, output_names={list(call.get('outputs', []))},",
        f"        dynamic_shapes={shapes if axes else None},",
        f"        opset_version={opset}, optimize={constant_folding},",
        "    )",
        'program.save("model.onnx")',
    ]
    return "\n".join(lines)


def _tensor(dtype: str, shape: Sequence[int]) -> str:
    if dtype.startswith(("float", "bfloat")):
        return f"torch.randn({tuple(shape)}, dtype=torch.{dtype})"
    return f"torch.ones({tuple(shape)}, dtype=torch.{dtype})"


def _unknown_inputs(source: str, opset: int, exporter: str, constant_folding: bool) -> str:
    """The code before an export has found out what the module takes."""
    dynamo = exporter != "torchscript"
    axes = '{name: {0: "batch"} for name in example}'
    lines = [
        "import torch",
        "",
        f"net = ...  # the {source}, in eval mode: net.eval()",
        "example = {...}  # one batch: a parameter of forward -> its tensor, in order",
        "with torch.no_grad():",
        "    torch.onnx.export(",
        '        net, (), "model.onnx", kwargs=example, dynamo=True,'
        if dynamo
        else '        net, tuple(example.values()), "model.onnx", dynamo=False,',
        f"        dynamic_shapes={axes}," if dynamo else f"        input_names=list(example), dynamic_axes={axes},",
        f"        opset_version={opset}, "
        + (f"optimize={constant_folding}," if dynamo else f"do_constant_folding={constant_folding},"),
        "    )",
    ]
    return "\n".join(lines)
