"""TensorFlow in the child: a SavedModel's signature as a function of arrays, and its conversion by tf2onnx.

Only here is TensorFlow imported: beside torch in one process it can abort both.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onnx_lab.errors import BadModel, ExportError, UnsupportedOperator, missing
from onnx_lab.runtime._wire import Array

_UNSUPPORTED = re.compile(r"Tensorflow op \[([^:\]]+): (\w+)\] is not supported")
_DEFAULT = "serving_default"


class TensorFlowEngine:
    """One signature of a SavedModel.

    Parameters
    ----------
    folder : str
        The SavedModel.
    signature : str, optional
        Default: ``serving_default``, else the first.
    """

    def __init__(self, folder: str, signature: str | None = None) -> None:
        self._tf = _tensorflow()
        try:
            self._loaded = self._tf.saved_model.load(folder)
        except Exception as e:
            raise BadModel(f"{folder} cannot be loaded: {_first(e)}", accepted="a SavedModel of TensorFlow") from e
        signatures = self._loaded.signatures
        if not signatures or (signature and signature not in signatures):
            raise BadModel(
                f"{folder} has no signature" + (f" {signature!r}" if signature else ""),
                accepted=", ".join(signatures) or "a SavedModel with at least one signature",
                do="tf.saved_model.save(obj, folder, signatures=obj.f.get_concrete_function(...))",
            )
        name = signature or (_DEFAULT if _DEFAULT in signatures else next(iter(signatures)))
        self._call = signatures[name]
        self._specs = dict(self._call.structured_input_signature[1])
        self.info = {
            "engine": f"tensorflow {self._tf.__version__}",
            "signature": name,
            "signatures": list(signatures),
            "inputs": [[k, v.dtype.name, _dims(v.shape)] for k, v in self._specs.items()],
            "outputs": list(self._call.structured_outputs),
        }

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name."""
        tensors = {k: self._tf.constant(v, self._specs[k].dtype) for k, v in feeds.items()}
        return {k: np.asarray(v.numpy()) for k, v in self._call(**tensors).items()}

    def relax(self, shapes: Mapping[str, Sequence[int | None]]) -> None:
        """Give the inputs other shapes, None for a free axis: the graph is frozen and called through new inputs.

        What the graph itself fixes, for instance in a Reshape, still holds: running it at other sizes tells.
        """
        from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

        tf, before = self._tf, self._call
        frozen = convert_variables_to_constants_v2(before)
        graph = frozen.graph.as_graph_def()
        for node in graph.node:
            node.attr.pop("_output_shapes", None)
        names = [t.name.split(":")[0] for t in frozen.inputs]
        ordered = [k for n in names for k in self._specs if n in (k, f"{before.name}_{k}") or n.endswith(k)]
        keys, outputs = list(before.structured_outputs), [t.name for t in frozen.outputs]
        specs = {k: tf.TensorSpec(shapes[k], self._specs[k].dtype, name=k) for k in self._specs}

        def body(**tensors: Any) -> dict[str, Any]:
            given = {f"{n}:0": tensors[k] for n, k in zip(names, ordered, strict=True)}
            return dict(zip(keys, tf.import_graph_def(graph, given, outputs, name=""), strict=True))

        self._call, self._specs = tf.function(body).get_concrete_function(**specs), specs

    def convert(self, out: str, opset: int) -> dict[str, Any]:
        """Write the signature as ONNX; the names of inputs and outputs in the file, in the order of `info`.

        Raises
        ------
        UnsupportedOperator, ExportError
        """
        try:
            import tf2onnx
        except ImportError:
            raise missing("tf2onnx", "tensorflow") from None
        specs = [self._tf.TensorSpec(v.shape, v.dtype, name=k) for k, v in self._specs.items()]
        keys, call = list(self._specs), self._call
        function = self._tf.function(lambda *xs: call(**dict(zip(keys, xs, strict=True))))
        with _heard("tf2onnx") as said:
            try:
                proto, _ = tf2onnx.convert.from_function(function, specs, opset=opset)
            except Exception as e:
                raise ExportError(f"tf2onnx gave up: {type(e).__name__}: {_first(e)}") from e
        if unsupported := list(dict.fromkeys(op for line in said for _, op in _UNSUPPORTED.findall(line))):
            raise UnsupportedOperator(
                f"TensorFlow's {', '.join(unsupported)} has no ONNX form in tf2onnx {tf2onnx.__version__}",
                do="write that step with other operations, or save a SavedModel that ends before it",
            )
        with open(out, "wb") as f:
            f.write(proto.SerializeToString())
        inputs = [v.name for v in proto.graph.input]
        return {"inputs": inputs, "outputs": [v.name for v in proto.graph.output], "tf2onnx": tf2onnx.__version__}


def _tensorflow() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the parent's may be torch, and the two abort in one process
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # the answers to compare with come from the CPU
    try:
        import tensorflow as tf
    except ImportError:
        raise missing("tensorflow", "tensorflow") from None
    return tf


@contextlib.contextmanager
def _heard(name: str) -> Iterator[list[str]]:
    """What a logger says, as lines."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger(name)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


def _dims(shape: Any) -> list[int | None] | None:
    """None for an axis that is free, None at all for a rank that is."""
    return None if shape.rank is None else list(shape)


def _first(e: Exception) -> str:
    return (str(e).strip().splitlines() or [""])[0][:300]
