"""The plain onnx / onnxruntime code that a step amounts to: to read, to learn from, to take along."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Step

_HOME: Mapping[str, str] = MappingProxyType(
    {
        verb: f"onnx_lab.transforms.{verb}"
        for verb in ("simplify", "optimize", "fix_shapes", "fp16", "bf16", "mixed_precision", "quantize")
    }
)
#: Verb -> what of its notes its code needs, beside its options: what it found out.
_FOUND: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"mixed_precision": ("float32_nodes",), "quantize": ("smooth",)}
)


def code_for(step: Step) -> str:
    """Python that does, without onnx_lab, what a transform's step did: ``model.onnx`` in, a new file out.

    Raises
    ------
    BadInput
        For a step that is no transform.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> print(code_for(lab.simplify(lab.samples.tiny()).lineage[-1]))
    import onnx
    import onnxslim
    <BLANKLINE>
    model = onnx.load("model.onnx")
    onnx.save(onnxslim.slim(model), "model-simplified.onnx")
    """
    surgery = step.verb.startswith("surgery.")
    if not surgery and step.verb not in _HOME:
        raise BadInput(f"no plain code for {step.verb!r}", accepted=", ".join(_HOME), do=did_you_mean(step.verb, _HOME))
    module = importlib.import_module(f"onnx_lab.transforms.{step.verb}" if surgery else _HOME[step.verb])
    wanted = getattr(module, "FOUND", ()) if surgery else _FOUND.get(step.verb, ())
    found = {k: step.notes[k] for k in wanted if k in step.notes}
    code: str = module.plain_code(**{**step.options, **found})
    return code
