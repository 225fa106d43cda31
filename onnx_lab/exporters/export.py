"""export: a framework object -> Model. Picks the exporter by what it is given; each framework has a file of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from onnx_lab._load import load
from onnx_lab.errors import BadInput
from onnx_lab.exporters import _later
from onnx_lab.exporters._options import DEFAULT_OPSET, Dynamic, ExportOptions
from onnx_lab.model import Model
from onnx_lab.runtime.keras_models import is_keras

#: What an exporter is called with: the object, the example or None, the options, the name or None.
Exporter = Callable[[Any, Any, ExportOptions, str | None], Model]

_OF_KERAS = (".keras", ".h5", ".hdf5")
_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


def export(
    obj: Any,
    example: Any = None,
    *,
    name: str | None = None,
    opset: int | None = None,
    dynamic: Dynamic = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    constant_folding: bool = True,
    exporter: str = "dynamo",
    tolerance: float = 1e-4,
    check: bool = True,
    zipmap: Literal["off", "on", "columns"] = "off",
    labels: Sequence[str] | None = None,
) -> Any:  # a Model, of a CLIP a ClipPair; a union would have to be taken apart at every call
    """Turn a framework's model into a Model, and check that it gives the same answers.

    Example feeds, input names and dynamic batch and sequence axes are found by itself. The model is exported in eval
    mode, without gradients, and left as it was. Afterwards file and source answer the same feeds at two shapes other
    than the example's, one with padding masked where there is a mask; the card shows the largest difference, and a
    mismatch is an error. The same model with the same options is cached: identity is the bytes of its weights, its
    attributes and its code; of a folder, its files; of a hub name, the commit.

    Parameters
    ----------
    obj : torch.nn.Module, transformers.PreTrainedModel, Keras, scikit-learn, TensorFlow or Paddle model, str or Path
        A module or Hugging Face model in memory; or a local folder or hub name of a Hugging Face model; or a
        ``.onnx`` file, which is loaded as by `onnx_lab.load`. A CLIP (open_clip's, or a ``CLIPModel``; also the folder
        of one, or ``hf-hub:NAME``) becomes two Models in a `onnx_lab.ClipPair`. A fitted scikit-learn estimator or
        pipeline; a live ``paddle.nn.Layer``, or the files that ``paddle.jit.save`` wrote.
    example : tensor, array, or a tuple or dict of them, optional
        One batch: positional arguments, or keyword arguments by name. Needed only where none can be found: by a
        Paddle layer always, by scikit-learn for tables of mixed columns (a few rows of the DataFrame) and for text.
    name : str, optional
        Short name for tables and files. Default: the class, folder or hub name.
    opset : int, optional
        9 to 25, default 20. The file really has the opset asked for.
    dynamic : None, bool or dict, default None
        None finds dynamic axes by itself, and a note names those that must stay fixed. True makes that an error,
        False fixes all axes, ``{"input": {0: "batch"}}`` names exactly those that are dynamic.
    input_names, output_names : sequence of str, optional
        Default: the parameters of ``forward`` and the keys of its result (``output``, ``output_0`` for others).
    constant_folding : bool, default True
        Let the exporter fold constants and remove what is redundant.
    exporter : {"dynamo", "torchscript"}, default "dynamo"
        "dynamo" falls back to TorchScript where it cannot export, with a note that says why.
    tolerance : float, default 1e-4
        Largest difference allowed, absolute; relative to the output's largest value where that is above 1.
    check : bool, default True
        False skips the comparison; the card says so.
    zipmap : {"off", "on", "columns"}, default "off"
        For classifiers of scikit-learn: probabilities as a matrix ``[batch, classes]``, as a list of dicts (which only
        onnxruntime's own API reads), or as one output for each class.
    labels : sequence of str, optional
        Class names, in the order of the scores; they travel in the file, and `onnx_lab.infer` answers with them.
        Default: those that the source itself carries.

    Returns
    -------
    Model, or ClipPair for a CLIP

    Raises
    ------
    BadInput
        An unknown type or option, or inputs that cannot be found; says what was tried.
    ExportError
        The model cannot be exported; names the line of your code. `UnsupportedOperator` names the operator.
    ParityError
        The file's answers differ from the source's; nothing is kept.
    NotInThisVersion
        For frameworks that are announced.

    Examples
    --------
    >>> import torch, onnx_lab as lab
    >>> net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    >>> m = lab.export(net, name="mlp")
    >>> str(m.inputs[0]), str(m.outputs[0])
    ('input: float32[batch, 8]', 'output: float32[batch, 4]')
    """
    options = ExportOptions(
        opset=opset,
        dynamic=dynamic,
        input_names=input_names,
        output_names=output_names,
        constant_folding=constant_folding,
        exporter=exporter,
        tolerance=tolerance,
        check=check,
        zipmap=zipmap,
        labels=labels,
    )
    if name is not None and not re.fullmatch(r"[^/\\\0]+", name):
        raise BadInput(f"name={name!r}", accepted="a name that can be a file's, without slashes")
    for accepts, exporter_for in EXPORTERS:
        if accepts(obj):
            if zipmap != "off" and exporter_for is not _export_estimator:
                raise BadInput(f"zipmap={zipmap!r}", accepted="a classifier of scikit-learn", do="leave it out")
            return exporter_for(obj, example, options, name)
    raise _unknown(obj)


def plain_code(
    *,
    source: str = "net",
    call: dict[str, Any] | None = None,
    opset: int | None = None,
    exporter: str = "dynamo",
    constant_folding: bool = True,
    code: str = "",
    **_: Any,
) -> str:
    """The plain code that an export amounts to: a ``torch.onnx.export`` call, or that of another converter.

    Parameters
    ----------
    source, opset, constant_folding : as in the options of the lineage's step
    call, exporter, code : as in its notes
        ``plain_code(**{**step.options, **step.notes})``; without them the inputs are left open.

    Examples
    --------
    >>> call = {"inputs": [["x", "float32", ["batch", 8], [2, 8]]], "outputs": ["y"]}
    >>> print(plain_code(source="Net", call=call).splitlines()[-1])
    program.save("model.onnx")
    """
    from onnx_lab.exporters._plain import torch_code

    if code:
        return code
    return torch_code(source, call or {}, opset or DEFAULT_OPSET, exporter, constant_folding)


def _is_path(obj: object) -> bool:
    return isinstance(obj, (str, os.PathLike))


def _export_path(obj: str | os.PathLike[str], example: Any, options: ExportOptions, name: str | None) -> Any:
    """A file is loaded; a folder or hub name goes to open_clip where it is one of those, else to Hugging Face."""
    from onnx_lab.exporters import clip
    from onnx_lab.exporters.paddle_export import export_saved, saved_program

    path = Path(obj).expanduser()
    text = os.fspath(obj)
    if path.suffix == ".onnx":
        return load(path, name=name)
    if path.is_file() and path.suffix in _OF_KERAS:
        from onnx_lab.exporters.keras_export import export_file

        return export_file(path, example, options, name)
    if (path / "saved_model.pb").is_file():
        from onnx_lab.exporters.tensorflow_export import export_saved_model

        return export_saved_model(path, example, options, name)
    if saved_program(path):
        return export_saved(path, example, options, name)
    if path.is_file():
        raise BadInput(
            f"{text} is a file of weights, or a pickle, which the lab does not open",
            accepted="a .onnx file, a folder with config.json, or a name on the hub",
            do="build the module in your code, load the weights into it, and lab.export(net)",
        )
    if text.startswith(clip.HUB_PREFIX) or (path.is_dir() and clip.is_clip_folder(path) and example is None):
        return clip.export_folder(text, options, name)
    if path.is_dir() and not (path / "config.json").is_file():
        onnx_files = sorted(path.glob("*.onnx"))
        hint = f"lab.load({str(onnx_files[0])!r})" if onnx_files else "name the folder that holds config.json"
        raise BadInput(f"{text} has no config.json", accepted="a folder as save_pretrained writes it", do=hint)
    if not path.is_dir() and (path.suffix in _OF_KERAS or not _HUB_NAME.fullmatch(text)):
        raise BadInput(
            f"no file or folder at {text}",
            accepted="a .onnx file, a folder, or a hub name",
            do=f"check the spelling; the working folder is {Path.cwd()}",
        )
    from onnx_lab.exporters.huggingface import export_name

    return export_name(text, example, options, name)


def _is_clip(obj: object) -> bool:
    from onnx_lab.exporters.clip import is_hugging_face_clip, is_open_clip

    return is_open_clip(obj) or is_hugging_face_clip(obj)


def _export_clip(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Any:
    """The towers as a pair; with an example the whole model as one file, as any other module."""
    from onnx_lab.exporters.clip import export_clip

    return export_clip(obj, options, name) if example is None else _export_module(obj, example, options, name)


def _is_module(obj: object) -> bool:
    return any(k.__module__.startswith("torch.nn.modules") and k.__name__ == "Module" for k in type(obj).__mro__)


def _export_module(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    from onnx_lab.exporters.huggingface import export_pretrained, is_pretrained
    from onnx_lab.exporters.torch_export import export_module, unwrapped

    module = unwrapped(obj)
    kind = type(module).__name__
    if is_pretrained(module):
        return export_pretrained(module, example, options, name or kind)
    return export_module(module, example, options, name or kind)


def _export_keras(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    from onnx_lab.exporters.keras_export import export_model

    return export_model(obj, example, options, name)


def _is_tensorflow(obj: object) -> bool:
    return any(k.__module__.split(".")[0] == "tensorflow" for k in type(obj).__mro__)


def _export_tensorflow(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    from onnx_lab.exporters.tensorflow_export import export_object

    return export_object(obj, example, options, name)


def _is_layer(obj: object) -> bool:
    return any(k.__module__.split(".")[0] == "paddle" for k in type(obj).__mro__)


def _export_layer(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    from onnx_lab.exporters.paddle_export import export_layer

    return export_layer(obj, example, options, name)


def _is_estimator(obj: object) -> bool:
    return any(k.__module__.split(".")[0] == "sklearn" for k in type(obj).__mro__)


def _export_estimator(obj: Any, example: Any, options: ExportOptions, name: str | None) -> Model:
    from onnx_lab.exporters.sklearn_export import export_estimator

    return export_estimator(obj, example, options, name)


def _refuse(obj: Any, _example: Any, _options: ExportOptions, _name: str | None) -> Model:
    raise _later.not_yet(obj)


#: Who takes what, asked in this order. No predicate imports a framework; a Keras model on the torch backend is a
#: torch module too, so Keras is asked first.
EXPORTERS: list[tuple[Callable[[object], bool], Exporter]] = [
    (_is_path, _export_path),
    (is_keras, _export_keras),
    (_is_tensorflow, _export_tensorflow),
    (lambda obj: bool(_later.framework_of(obj)), _refuse),
    (_is_estimator, _export_estimator),
    (_is_layer, _export_layer),
    (_is_clip, _export_clip),
    (_is_module, _export_module),
]


def _unknown(obj: object) -> BadInput:
    model = getattr(obj, "model", None)
    do = "lab.export(obj.model)" if _is_module(model) else "give the model itself; a function goes into a torch module"
    if isinstance(obj, type):
        do = f"an instance of it: lab.export({obj.__name__}(...))"
    return BadInput(
        f"{type(obj).__module__}.{type(obj).__qualname__} is nothing that can be exported",
        accepted="a torch.nn.Module, a Hugging Face, Keras, scikit-learn, TensorFlow or Paddle model, a folder or hub "
        "name, or a .onnx file",
        do=do,
    )
