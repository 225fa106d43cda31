"""A Keras model on the torch backend as a plain torch module: tensors in, tensors out, named as in the exported file.

Keras models are torch modules themselves, but their ``forward`` takes a structure and keywords, their layers are no
sub-modules (so nodes of an export would not know them), and a fresh process would unpickle them on whatever backend
it finds. This wrapper has none of these three faults. The model is not touched.
"""

from __future__ import annotations

import io
import os
from typing import Any

import torch

from onnx_lab.runtime.keras_models import output_names, without_tensorflow


class KerasAsTorch(torch.nn.Module):  # type: ignore[misc]  # torch is not read by the type checker
    """`model` called at inference, with its inputs flat and its layers as sub-modules.

    Parameters
    ----------
    model : keras.Model
        On the torch backend.
    structure : nested tensors, optional
        What the model is called with. Default: the structure of ``model.inputs``.
    """

    def __init__(self, model: Any, structure: Any = None) -> None:
        super().__init__()
        # in a tuple, so that torch does not take it for a sub-module: its layers are, by their own names
        self._keras = (model,)
        self._structure = structure if structure is not None else getattr(model, "_inputs_struct", None)
        for layer in model._flatten_layers(include_self=False):
            if not hasattr(self, name := layer.name.replace(".", "_")):
                self.add_module(name, layer)

    @property
    def keras_model(self) -> Any:
        """The Keras model itself."""
        return self._keras[0]

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """The outputs by name."""
        import keras

        given = keras.tree.pack_sequence_as(self._structure, list(inputs)) if self._structure is not None else inputs[0]
        result = self.keras_model(given, training=False)
        flat = keras.tree.flatten(result)
        return dict(zip(output_names(self.keras_model, result, len(flat)), flat, strict=True))

    def __reduce__(self) -> tuple[Any, ...]:
        """For the way to a fresh process: Keras's own archive, in memory, with the classes that are not Keras's."""
        from keras.src.saving import saving_lib

        archive = io.BytesIO()
        with without_tensorflow():
            saving_lib._save_model_to_fileobj(self.keras_model, archive, "h5")
        layers = list(self.keras_model._flatten_layers())
        own = {k.__name__: k for layer in layers if not (k := type(layer)).__module__.startswith("keras.")}
        return _restored, (archive.getvalue(), own)


def _restored(archive: bytes, own: dict[str, type]) -> KerasAsTorch:
    """The child's side of pickling; TensorFlow, which may be Keras's default there, is kept out."""
    os.environ["KERAS_BACKEND"] = "torch"
    from keras.src.saving import saving_lib

    with without_tensorflow():
        # from the parent's own memory, made a moment ago, like every pickled module: there is nothing to distrust
        return KerasAsTorch(
            saving_lib._load_model_from_fileobj(io.BytesIO(archive), custom_objects=own, compile=False, safe_mode=False)
        )
