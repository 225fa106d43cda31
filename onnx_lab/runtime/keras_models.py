"""Keras models told apart, and the names of their inputs and outputs in a file; imports neither Keras nor torch."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from onnx_lab.errors import BadInput

#: Names that Keras gives by itself: a class in snake case, with a counter that depends on what was built before.
_NUMBER = re.compile(r"_\d+$")


def is_keras(thing: object) -> bool:
    """Whether it is a Keras model, told without importing Keras: a model exists only where it was imported.

    Examples
    --------
    >>> is_keras(3)
    False
    """
    return any(k.__module__.startswith("keras.") and k.__name__ == "Model" for k in type(thing).__mro__)


def module_name(module: Any) -> str:
    """What a live module is called in tables: a Keras model by its own name, another by its class.

    Examples
    --------
    >>> module_name(3)
    'int'
    """
    return str(module.name) if is_keras(module) else type(module).__name__


def input_names(model: Any) -> tuple[str, ...]:
    """The names that the user gave to the inputs; ``input``, or ``input_0``, ... for those that Keras numbered."""
    inputs = model.inputs
    free = ["input"] if len(inputs) == 1 else [f"input_{i}" for i in range(len(inputs))]
    return tuple(f if t.name.startswith("keras_tensor") else t.name for t, f in zip(inputs, free, strict=True))


def output_names(model: Any, result: Any, count: int) -> tuple[str, ...]:
    """Keys of a dict; else names of the output layers, where the user gave them; else ``output``, ``output_0``, ...."""
    if isinstance(result, dict):
        import keras

        paths = [path for path, _ in keras.tree.flatten_with_path(result)]
        return tuple("_".join(map(str, p)) for p in paths)
    free = ["output"] if count == 1 else [f"output_{i}" for i in range(count)]
    functional = getattr(model, "_functional", None) or model  # what a Sequential keeps inside
    named = list(getattr(functional, "output_names", None) or ())
    if len(named) != count or len(set(named)) != count:
        return tuple(free)
    kinds = {layer.name: type(layer).__name__ for layer in getattr(model, "layers", ())}
    return tuple(f if _is_numbered(n, kinds.get(n, "")) else n for n, f in zip(named, free, strict=True))


def backend() -> str:
    """``"torch"``, ``"tensorflow"`` or ``"jax"``: what Keras, which is imported, runs on in this process."""
    return str(sys.modules["keras"].backend.backend())


@contextmanager
def without_tensorflow() -> Iterator[None]:
    """Let Keras on torch save and load without TensorFlow, which it would import to see whether it is there.

    TensorFlow and torch in one process can abort it (each registers LLVM's options). Nothing is done where the user
    has imported TensorFlow already, or Keras runs on it.
    """
    from keras.src.utils import module_utils

    lazy = module_utils.tensorflow
    before = lazy._available
    keep_tensorflow_out()
    try:
        yield
    finally:
        lazy._available = before


def keep_tensorflow_out() -> None:
    """`without_tensorflow` for the rest of the process."""
    from keras.src.utils import module_utils

    if "tensorflow" not in sys.modules and backend() != "tensorflow":
        module_utils.tensorflow._available = False


def as_torch(module: Any) -> Any:
    """Keras models as `KerasAsTorch`, other modules as they are.

    Raises
    ------
    BadInput
        For a Keras model on another backend.
    """
    if not is_keras(module):
        return module
    if (found := backend()) != "torch":
        raise BadInput(
            f"a Keras model on the {found} backend",
            accepted="Keras on the torch backend",
            do="export it and measure the file; or restart with KERAS_BACKEND=torch",
        )
    from onnx_lab.runtime._keras_module import KerasAsTorch

    return KerasAsTorch(module)


def structure_names(structure: Any, count: int) -> tuple[str, ...]:
    """Names for the inputs of a model that has no `inputs`: keys of the example where it is a dict."""
    if isinstance(structure, dict):
        return tuple(str(k) for k in sorted(structure))
    return ("input",) if count == 1 else tuple(f"input_{i}" for i in range(count))


def _is_numbered(name: str, kind: str) -> bool:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", kind).lower()
    return bool(kind) and _NUMBER.sub("", name).replace("_", "") == snake.replace("_", "")
