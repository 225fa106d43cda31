"""The plain onnx / onnxruntime code that measuring amounts to: what a user takes to a project without the lab.

Text only; each function writes one short script. ``model.onnx`` stands for the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnx_lab.model import TensorSpec
from onnx_lab.runtime.target import Target

_SMALL, _LONG = 1, 128


def inspect_code(path: str = "model.onnx") -> str:
    """Inputs, outputs and operators of a file.

    Examples
    --------
    >>> print(inspect_code().splitlines()[-1])
    print(Counter(node.op_type for node in graph.node).most_common())
    """
    return "\n".join(
        [
            "from collections import Counter",
            "",
            "import onnx",
            "",
            f"graph = onnx.load({_quoted(path)}, load_external_data=False).graph",
            "for value in [*graph.input, *graph.output]:",
            "    dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]",
            "    print(value.name, onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type), dims)",
            "print(Counter(node.op_type for node in graph.node).most_common())",
        ]
    )


def infer_code(
    inputs: Sequence[TensorSpec] = (),
    *,
    path: str = "model.onnx",
    target: Target | str | None = None,
    hints: Mapping[str, Any] | None = None,
    text: str | None = None,
    max_length: int = 128,
) -> str:
    """One run. With `text`, through a tokenizer to probabilities."""
    lines = [*_imports(), *_session("session", path, target, hints or {})]
    if text is None:
        return "\n".join(
            [
                *lines,
                *_feeds(inputs),
                "for output, value in zip(session.get_outputs(), session.run(None, feeds)):",
                "    print(output.name, value.shape, value)",
            ]
        )
    return "\n".join(
        [
            lines[0],
            lines[1],
            "from transformers import AutoTokenizer",
            *lines[2:],
            'tokenizer = AutoTokenizer.from_pretrained("...")  # the one that belongs to the model',
            f'made = tokenizer([{_quoted(text)}], truncation=True, max_length={max_length}, return_tensors="np")',
            "feeds = {i.name: made[i.name].astype(np.int64) for i in session.get_inputs()}",
            "scores = session.run(None, feeds)[0].astype(np.float64)",
            "odds = np.exp(scores - scores.max(axis=1, keepdims=True))",
            "print(odds / odds.sum(axis=1, keepdims=True))",
        ]
    )


def pair_code(
    image: TensorSpec, logit_scale: float, logit_bias: float | None = None, *, target: Target | str | None = None
) -> str:
    """Pictures against prompts, with the two files of a CLIP.

    Examples
    --------
    >>> print(pair_code(TensorSpec("image", "float32", ("batch", 3, 64, 64)), 100.0).splitlines()[-1])
    print(odds / odds.sum(axis=1, keepdims=True))
    """
    scores = f"scores = {logit_scale:.6g} * features[0] @ features[1].T"
    odds = [
        "odds = np.exp(scores - scores.max(axis=1, keepdims=True))",
        "print(odds / odds.sum(axis=1, keepdims=True))",
    ]
    if logit_bias is not None:
        scores, odds = f"{scores} + {logit_bias:.6g}", ["print(1 / (1 + np.exp(-scores)))"]
    return "\n".join(
        [
            *_imports(),
            *_session("image", "image.onnx", target, {}),
            *_session("text", "text.onnx", target, {}),
            f"pictures = ...  # {image.dtype}{list(image.shape)}: preprocess(PIL image), one above the other",
            'tokens = ...  # tokenizer(["a photo of a cat", "a photo of a dog"]) of this very model',
            "features = [",
            "    tower.run(None, {tower.get_inputs()[0].name: value})[0]",
            "    for tower, value in ((image, pictures), (text, tokens))",
            "]",
            scores,
            *odds,
        ]
    )


def compare_code(target: Target | str | None = None) -> str:
    """Largest difference and cosine of two files over batches of feeds."""
    lines = [*_imports(), *_session("a", "a.onnx", target, {}), *_session("b", "b.onnx", target, {})]
    return "\n".join(
        [
            *lines,
            "for feeds in batches:  # your dicts of arrays by input name",
            "    for output, x, y in zip(a.get_outputs(), a.run(None, feeds), b.run(None, feeds)):",
            "        x, y = (v.astype(np.float64).reshape(len(v), -1) for v in (x, y))",
            "        cosine = (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)",
            "        print(output.name, np.abs(x - y).max(), cosine.mean())",
        ]
    )


def trace_code() -> str:
    """Every tensor that two files share, each made an output, and its relative error.

    Examples
    --------
    >>> print(trace_code().splitlines()[0])
    import numpy as np
    """
    return """import numpy as np
import onnx
import onnxruntime as ort

feeds = {...}  # one batch: arrays by input name


def tensors(path):
    graph = (model := onnx.load(path)).graph
    names = dict.fromkeys(name for node in graph.node for name in node.output if name)
    given = {output.name for output in graph.output}
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in given)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), feeds)))


a, b = tensors("a.onnx"), tensors("b.onnx")
for name, x in a.items():
    if name in b and x.dtype.kind == "f" and x.shape == b[name].shape:
        x, y = x.astype(np.float64), b[name].astype(np.float64)
        print(name, np.linalg.norm(x - y) / np.linalg.norm(x))"""


def accuracy_code(target: Target | str | None = None) -> str:
    """Share of right answers over labelled batches."""
    return "\n".join(
        [
            *_imports(),
            *_session("session", "model.onnx", target, {}),
            "right = total = 0",
            "for feeds, labels in batches:  # dicts of arrays by input name, and an array of class numbers",
            "    answers = session.run(None, feeds)[0].argmax(axis=1)",
            "    right, total = right + (answers == labels).sum(), total + len(labels)",
            "print(right / total)",
        ]
    )


def bench_code(
    inputs: Sequence[TensorSpec] = (),
    *,
    batch: int = 1,
    seq: int = 128,
    target: Target | str | None = None,
    hints: Mapping[str, Any] | None = None,
) -> str:
    """A bare timing loop of one session. It takes no turns and knows no interval: the lab's figure does.

    Examples
    --------
    >>> print(bench_code().splitlines()[-1])
    print(f"median {np.median(seconds) * 1e3:.3g} ms")
    """
    lines = [*_imports("time"), *_session("session", "model.onnx", target, hints or {})]
    return "\n".join(
        [
            *lines,
            *_feeds(inputs, batch, seq),
            "for _ in range(10):  # warm-up",
            "    session.run(None, feeds)",
            "seconds = []",
            "for _ in range(100):",
            "    start = time.perf_counter()",
            "    session.run(None, feeds)",
            "    seconds.append(time.perf_counter() - start)",
            'print(f"median {np.median(seconds) * 1e3:.3g} ms")',
        ]
    )


def profile_code(
    inputs: Sequence[TensorSpec] = (),
    *,
    batch: int = 1,
    seq: int = 128,
    target: Target | str | None = None,
    hints: Mapping[str, Any] | None = None,
) -> str:
    """ONNX Runtime's own profiler, and its kernels summed by operator.

    Examples
    --------
    >>> print(profile_code().splitlines()[-1])
    print(*(f"{us / 20e3:8.3f} ms  {op}" for op, us in times.most_common(12)), sep="\\n")
    """
    options, *rest = _session("session", "model.onnx", target, hints or {})
    return "\n".join(
        [
            *_imports("json", "collections"),
            options,
            "options.enable_profiling = True",
            *rest,
            *_feeds(inputs, batch, seq),
            "for _ in range(20):",
            "    session.run(None, feeds)",
            "times = collections.Counter()",
            "for event in json.load(open(session.end_profiling())):",
            '    if event["name"].endswith("_kernel_time"):',
            '        times[event["args"]["op_name"]] += event["dur"]  # microseconds',
            'print(*(f"{us / 20e3:8.3f} ms  {op}" for op, us in times.most_common(12)), sep="\\n")',
        ]
    )


def doctor_code() -> str:
    """What onnxruntime says about itself; whether a provider really runs, only a session tells."""
    return "\n".join(
        [
            "import onnxruntime as ort",
            "",
            "print(ort.__version__, ort.get_device(), ort.get_build_info())",
            "print(ort.get_available_providers())",
        ]
    )


def _imports(*standard: str) -> list[str]:
    return [
        *(f"import {m}" for m in standard),
        *[""] * bool(standard),
        "import numpy as np",
        "import onnxruntime as ort",
        "",
    ]


def _session(name: str, path: str, target: Target | str | None, hints: Mapping[str, Any]) -> list[str]:
    where = Target.of(target)
    lines = ["options = ort.SessionOptions()", f"options.intra_op_num_threads = {where.thread_count}"]
    opened = f"{name} = ort.InferenceSession({_quoted(path)}, options"
    off = hints.get("disabled_optimizers")
    disabled = f", disabled_optimizers={json.dumps(list(off))}" if off else ""
    given = json.dumps(dict(where.options))
    if where.provider == "openvino":  # a plugin: registered by hand, its devices added to the options
        return [
            "import onnxruntime_ep_openvino as plugin",
            "",
            'ort.register_execution_provider_library("OpenVINOExecutionProvider", plugin.get_library_path())',
            'devices = [d for d in ort.get_ep_devices() if d.ep_name == "OpenVINOExecutionProvider"]',
            *lines,
            f"options.add_provider_for_devices(devices[:1], {given})",
            f"{opened}{disabled})",
        ]
    provider = _quoted(where.provider_name)
    provider = f"({provider}, {given})" if where.options else provider
    return [*lines, f"{opened}, providers=[{provider}]{disabled})"]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _feeds(inputs: Sequence[TensorSpec], batch: int = _SMALL, seq: int = _LONG) -> list[str]:
    """``feeds = {...}`` with arrays of the right dtype and shape."""
    if not inputs:
        return ["feeds = {}  # arrays by input name"]
    return ["feeds = {", *(f"    {_quoted(s.name)}: {_array(s, batch, seq)}," for s in inputs), "}"]


def _array(spec: TensorSpec, batch: int, seq: int) -> str:
    shape = tuple(d if isinstance(d, int) else batch if place == 0 else seq for place, d in enumerate(spec.shape))
    if spec.dtype.startswith("float"):
        return f"np.random.randn({', '.join(map(str, shape))}).astype(np.{spec.dtype})"
    dtype = "bool" if spec.dtype == "bool" else f"np.{spec.dtype}"
    return f"np.ones({shape}, {dtype})"
