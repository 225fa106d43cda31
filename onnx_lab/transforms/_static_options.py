"""The options of static quantization, checked and settled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx_lab.errors import BadInput
from onnx_lab.transforms import _int8 as int8
from onnx_lab.transforms import _static_nodes as nodes
from onnx_lab.transforms._calibration import METHODS
from onnx_lab.transforms._dataset import Identity
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._strength import checked

_8BIT = ("int8", "uint8")
_FORMATS = ("qdq", "qoperator")


@dataclass(frozen=True)
class Options:
    """The options of static quantization, checked and settled."""

    calibration: str
    percentile: float
    format: str
    per_channel: bool
    symmetric: bool
    activation_type: str
    weight_type: str
    reduce_range: bool
    by_machine: bool
    op_types: tuple[str, ...] | None
    exclude_ops: tuple[str, ...]
    exclude_nodes: tuple[str, ...]
    quantize_output: bool
    cap_mb: float
    strength: float | None

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> Options:
        """From what the caller gave. Raises BadInput."""
        weights = one_of("weight_type", given["weight_type"], _8BIT)
        kinds, reduce_range = given["op_types"], given["reduce_range"]
        activations = one_of("activation_type", given["activation_type"], _8BIT)
        if (activations, weights) == ("int8", "uint8"):
            raise BadInput("weight_type='uint8' with activation_type='int8'", accepted="weight_type='int8'")
        if not 50 < given["percentile"] <= 100:
            raise BadInput(f"percentile={given['percentile']!r}", accepted="above 50, up to 100; 99.999 is usual")
        if not given["cap_mb"] > 0:
            raise BadInput(f"cap_mb={given['cap_mb']!r}", accepted="megabytes, above 0")
        return cls(
            calibration=one_of("calibration", given["calibration"], METHODS),
            percentile=float(given["percentile"]),
            format=one_of("format", given["format"], _FORMATS),
            per_channel=given["per_channel"],
            symmetric=bool(given["symmetric"]),
            activation_type=activations,
            weight_type=weights,
            reduce_range=int8.needs_reduced_range(weights) if reduce_range is None else reduce_range,
            by_machine=reduce_range is None,
            op_types=None if kinds is None else names("op_types", kinds, nodes.POSSIBLE),
            exclude_ops=names("exclude_ops", given["exclude_ops"], nodes.POSSIBLE),
            exclude_nodes=names("exclude_nodes", given["exclude_nodes"]),
            quantize_output=given["quantize_output"],
            cap_mb=float(given["cap_mb"]),
            strength=checked(given["smooth"]),
        )

    def lineage(self, data: Identity) -> dict[str, Any]:
        """What tells this result from another: the memory cap does not, nor does a percentile that is not used."""
        told = {
            "data": str(data),
            "calibration": self.calibration,
            "format": self.format,
            "per_channel": self.per_channel,
            "reduce_range": self.reduce_range,
        }
        others = "symmetric activation_type weight_type op_types exclude_ops exclude_nodes quantize_output".split()
        usual = {"activation_type": "uint8", "weight_type": "int8"}
        told |= {k: v for k in others if (v := getattr(self, k)) and v != usual.get(k)}
        told["smooth"] = "auto" if self.strength is None else self.strength or "off"
        return told | ({"percentile": self.percentile} if self.calibration == "percentile" else {})
