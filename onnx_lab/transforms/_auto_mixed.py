"""onnxconverter-common's auto_mixed_precision, with its engine in a child process and its prints held back.

It opens sessions where it runs; here its one function that does so is replaced, for the length of a call, by a worker.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from onnx_lab import workspace
from onnx_lab._quiet import quiet
from onnx_lab.errors import OnnxLabError, TransformError, missing
from onnx_lab.runtime.client import Worker
from onnx_lab.transforms._carry import carry_metadata

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from onnx_lab.task import Feeds
    from onnx_lab.transforms._tolerance import Judge
    from onnx_lab.transforms._trials import Tell


def auto_mixed(
    before: ir.Model, feeds: Feeds, judge: Judge, keep_io: bool, tell: Tell
) -> tuple[ir.Model, set[str], int]:
    """The model it makes, the nodes it keeps in float32, and how often it ran a converted model.

    Raises
    ------
    MissingExtra
        Without onnxconverter-common.
    TransformError
        When it gives up, with what its words mean.
    """
    import onnx_ir as ir

    try:
        from onnxconverter_common import auto_mixed_precision as auto
    except ImportError:
        raise missing("onnxconverter-common", "tools") from None
    names = [v.name or "" for v in before.graph.outputs]

    def valid(exact: Sequence[Any], got: Sequence[Any]) -> bool:
        judge.start()
        return judge.accepts(0, dict(zip(names, exact, strict=True)), dict(zip(names, got, strict=True)))

    attempts: list[list[str]] = []
    with _in_a_worker(auto, attempts, tell), quiet("onnxconverter_common"):
        try:
            made = auto.auto_convert_mixed_precision(ir.to_proto(before), dict(feeds), valid, keep_io_types=keep_io)
        except OnnxLabError:
            raise
        except Exception as e:
            every = bool(attempts) and len(attempts[-1]) == len(before.graph)
            raise _explained(e, every) from e
    after = carry_metadata(before, ir.from_proto(made))
    after.graph.sort()
    return after, set(attempts[-1]), len(attempts)


@contextmanager
def _in_a_worker(auto: Any, attempts: list[list[str]], tell: Tell) -> Iterator[None]:
    converter, engine = auto.float16, auto.get_tensor_values_using_ort

    def convert(model: onnx.ModelProto, *, node_block_list: list[str], **options: Any) -> onnx.ModelProto:
        attempts.append(list(node_block_list))
        word = f"attempt {len(attempts)}: {len(node_block_list)} nodes in float32"
        tell({"kind": "evaluation", "state": word, "done": 0, "of": 1})
        done: onnx.ModelProto = converter.convert_float_to_float16(model, node_block_list=node_block_list, **options)
        return done

    auto.float16 = SimpleNamespace(convert_float_to_float16=convert)
    auto.get_tensor_values_using_ort = _run
    try:
        yield
    finally:
        auto.float16, auto.get_tensor_values_using_ort = converter, engine


def _run(model: onnx.ModelProto, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None) -> list[Any]:
    import onnx

    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    if outputs is not None:
        del shown.graph.output[:]
        shown.graph.output.extend(onnx.ValueInfoProto(name=o) for o in outputs)
    with workspace.scratch() as folder:
        onnx.save(shown, folder / "attempt.onnx")
        made = workspace.open_model(folder / "attempt.onnx")
        with Worker.for_model(made) as worker:
            answers = worker.run(dict(feeds))
    return [answers[o.name] for o in shown.graph.output]


def _explained(e: Exception, every: bool) -> TransformError:
    """`every`: whether it had come to keep all nodes in float32."""
    text = f"{type(e).__name__}: {e}"
    if "original fp32 model" in text:
        meaning = "it compares the float32 model with itself first, and that was refused"
    elif "final fp16 model" in text and every:
        meaning = (
            "onnxconverter-common kept every node in float32 and still does not pass: it casts each tensor to float16 "
            "between two float32 nodes, too, so a number above 65504 is lost on its way"
        )
    elif "final fp16 model" in text:
        meaning = "segments that passed one by one do not pass together"
    else:
        meaning = f"onnxconverter-common gave up: {text}"
    return TransformError(f"mixed_precision: {meaning}", do="tool='onnxruntime'")
