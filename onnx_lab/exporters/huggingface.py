"""Hugging Face: a PreTrainedModel, a local folder or a hub name -> Model, without the caller writing inputs.

Weights come through transformers' own ``from_pretrained``, safetensors first, never with remote code. A folder is
identified by its files, a hub name by the commit it stands for, so the second export does not even load the weights.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx_lab._quiet import quiet, without_loading_bars
from onnx_lab.errors import BadInput, ExportError, missing
from onnx_lab.exporters import _hf_inputs
from onnx_lab.exporters._identity import folder_identity, module_identity, value_identity
from onnx_lab.exporters._options import ExportOptions
from onnx_lab.exporters._torch_example import from_example
from onnx_lab.exporters._torch_source import TorchSource, to_tensors
from onnx_lab.exporters._torch_write import CHATTER
from onnx_lab.exporters.torch_export import TOOLS, make
from onnx_lab.model import LABELS_KEY, Model
from onnx_lab.produce import Made, produce

if TYPE_CHECKING:
    import transformers

#: Loggers that speak while weights are fetched and read.
LOADING = (*CHATTER, "huggingface_hub", "httpx", "filelock")
#: What identifies a folder: the weights, and what decides how they are used.
WEIGHTS = ("config.json", "*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json")


def export_pretrained(model: transformers.PreTrainedModel, example: Any, options: ExportOptions, name: str) -> Model:
    """Export a model that is in memory; see `onnx_lab.export`."""
    return produce(
        "export",
        options.as_json(type(model).__name__),
        lambda: _make(model, example, options, []),
        tools=TOOLS,
        name=name,
        cache_key=module_identity(model, example),
    )


def export_name(name_or_folder: str, example: Any, options: ExportOptions, name: str | None) -> Any:
    """Export what a local folder or a hub name stands for, a CLIPModel as a pair; see `onnx_lab.export`."""
    config = _config(name_or_folder)
    folder = Path(name_or_folder).expanduser()
    commit = None
    if folder.is_dir():
        files = {f for pattern in WEIGHTS for f in folder.glob(pattern)}
        identity: str | None = folder_identity(files)
    else:
        commit = _commit(name_or_folder)
        identity = f"{name_or_folder}@{commit}" if commit else None
    label = folder.resolve().name if folder.is_dir() else name_or_folder

    def body() -> Made:
        model, said = _load(name_or_folder, config, commit)
        return _make(model, example, options, said)

    name = name or label.split("/")[-1]
    if example is None and "CLIPModel" in (getattr(config, "architectures", None) or ()):
        from onnx_lab.exporters.clip import export_clip

        return export_clip(_load(name_or_folder, config, commit)[0], options, name)
    given = value_identity(example)
    key = f"{identity}:{given}" if identity and given else None
    return produce("export", options.as_json(label), body, tools=TOOLS, name=name, cache_key=key)


def is_pretrained(obj: object) -> bool:
    """Whether `obj` is a transformers model; transformers is not imported to find out."""
    return any(k.__name__ == "PreTrainedModel" and k.__module__.startswith("transformers.") for k in type(obj).__mro__)


def _make(model: transformers.PreTrainedModel, example: Any, options: ExportOptions, said: list[str]) -> Made:
    metadata = {LABELS_KEY: json.dumps(names)} if (names := _hf_inputs.labels(model)) else {}
    with quiet(*LOADING), _settings(model):
        source = _source(model, example)
        return make(source, options, said, metadata)


def _source(model: transformers.PreTrainedModel, example: Any) -> TorchSource:
    """The caller's example, or the first inputs made from the config that the model takes."""
    if example is not None:
        source = from_example(model, example)
        return replace(source, inputs=_hf_inputs.inputs_like(model, source.inputs))
    refusal = ""
    for found in _hf_inputs.guesses(model):
        tensors = to_tensors(model, found.inputs.example.values())
        arguments = {**dict(zip(found.inputs.names, tensors, strict=True)), **found.constants}
        source = TorchSource.of(model, (), arguments)
        try:
            source.run(source.inputs.example)
        except Exception as e:
            refusal = f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0][:200]}"
            continue
        order = {s.name: s for s in found.inputs.specs}
        inputs = replace(found.inputs, specs=tuple(order[n] for n in source.inputs.names))
        return replace(source, inputs=inputs)
    raise BadInput(
        f"no inputs found that {type(model).__name__} runs on" + (f"; it last said {refusal}" if refusal else ""),
        accepted="one batch as its tokenizer or processor gives it, as example=",
        do='lab.export(model, example=tokenizer(["a text", "another"], padding=True, return_tensors="pt"))',
    )


@contextlib.contextmanager
def _settings(model: transformers.PreTrainedModel) -> Iterator[None]:
    """Named outputs and no key-value cache, in all configs of the model; afterwards they are what they were."""
    configs = {id(c): c for m in model.modules() if (c := getattr(m, "config", None)) is not None}
    wanted = {"return_dict": True, "use_cache": False}
    before = [(c, k, c.__dict__[k]) for c in configs.values() for k in wanted if k in getattr(c, "__dict__", {})]
    try:
        for config, key, _ in before:
            config.__dict__[key] = wanted[key]
        yield
    finally:
        for config, key, value in before:
            config.__dict__[key] = value


def _config(name: str) -> Any:
    transformers = _transformers()
    with quiet(*LOADING):
        try:
            return transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
        except Exception as e:
            raise _unreadable(name, e) from e


def _commit(name: str) -> str | None:
    """The commit that a hub name stands for now; its folder in the hub's cache is called so."""
    with quiet(*LOADING):
        path = _transformers().utils.cached_file(name, "config.json")
    found = re.search(r"snapshots[/\\]([0-9a-f]{40})[/\\]", str(path))
    return found[1] if found else None


def _load(name: str, config: Any, commit: str | None) -> tuple[transformers.PreTrainedModel, list[str]]:
    """The model with its weights in float32, and sentences about what was not as expected."""
    import torch

    transformers = _transformers()
    kind, said = _class_for(config, name)
    options = {"revision": commit} if commit else {}
    with quiet(*LOADING), without_loading_bars():
        try:
            model, info = kind.from_pretrained(
                name, config=config, dtype=torch.float32, trust_remote_code=False, output_loading_info=True, **options
            )
        except Exception as e:
            raise _unreadable(name, e) from e
    assert isinstance(model, transformers.PreTrainedModel)
    if absent := sorted(info.get("missing_keys", ())):
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        said.append(f"{len(absent)} weights are not in the checkpoint and were drawn at random: {shown}")
    return model, said


def _class_for(config: Any, name: str) -> tuple[Any, list[str]]:
    """The class that the config names; AutoModel, with a note, where it names none."""
    transformers = _transformers()
    architectures = list(getattr(config, "architectures", None) or [])
    if not architectures:
        return transformers.AutoModel, ["the config names no architecture: exported without a head (AutoModel)"]
    kind = getattr(transformers, architectures[0], None)
    if kind is None:
        raise ExportError(
            f"{name!r} is a {architectures[0]}, which transformers {transformers.__version__} does not have",
            accepted="architectures of transformers; code from a repository is never run",
            do="pip install -U transformers; or load it in your own code and lab.export(model)",
        )
    return kind, []


def _unreadable(name: str, e: Exception) -> ExportError:
    lines = [line for line in str(e).strip().splitlines() if line.strip()] or [type(e).__name__]
    if "trust_remote_code" in str(e):
        return ExportError(
            f"{name!r} wants to run code of its own (trust_remote_code), which the lab never does",
            do="if you trust it, load it in your own code and lab.export(model)",
        )
    return ExportError(
        f"{name!r} could not be read: {lines[0][:300]}",
        accepted="a .onnx file, a folder with config.json and weights, or a name on the hub",
        do="check the spelling and the network; for a private model: hf auth login",
    )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise missing("transformers", "torch") from None
    return transformers
