"""The options of an export, checked once, under the names the field knows them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import LABELS_KEY
from onnx_lab.produce import options_json

#: The first opset in which LayerNormalization and Gelu are single nodes, and the newest of the TorchScript exporter.
DEFAULT_OPSET = 20
#: From the oldest that TorchScript still writes with constant folding to the newest that onnxscript converts to.
OPSETS = range(9, 26)
EXPORTERS = ("dynamo", "torchscript")
#: How a classifier of scikit-learn gives its probabilities: as a matrix, as a list of dicts, one output per class.
ZIPMAPS = ("off", "on", "columns")

#: None: find them; True: they must be dynamic; False: none; else input name -> {axis: name}.
Dynamic = bool | Mapping[str, Mapping[int, str]] | None


@dataclass(frozen=True)
class ExportOptions:
    """What `onnx_lab.export` was asked for; see there for the meaning of each field."""

    opset: int | None = None
    dynamic: Dynamic = None
    input_names: Sequence[str] | None = None
    output_names: Sequence[str] | None = None
    constant_folding: bool = True
    exporter: str = "dynamo"
    tolerance: float = 1e-4
    check: bool = True
    zipmap: str = "off"
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.opset is not None and (not isinstance(self.opset, int) or self.opset not in OPSETS):
            raise BadInput(
                f"opset={self.opset!r}",
                accepted=f"{OPSETS.start} to {OPSETS.stop - 1}",
                do=f"leave it out for {DEFAULT_OPSET}, which every current runtime reads",
            )
        if self.exporter not in EXPORTERS:
            raise BadInput(
                f"exporter={self.exporter!r}",
                accepted=" or ".join(EXPORTERS),
                do=did_you_mean(self.exporter, EXPORTERS),
            )
        if self.zipmap not in ZIPMAPS:
            raise BadInput(
                f"zipmap={self.zipmap!r}", accepted=" or ".join(ZIPMAPS), do=did_you_mean(str(self.zipmap), ZIPMAPS)
            )
        if not self.tolerance > 0:
            raise BadInput(f"tolerance={self.tolerance!r}", accepted="a number above 0, for instance 1e-4")
        for option in ("input_names", "output_names", "labels"):
            _check_names(option, getattr(self, option))
        _check_dynamic(self.dynamic)

    @property
    def opset_wanted(self) -> int:
        """The opset to write."""
        return self.opset or DEFAULT_OPSET

    @property
    def metadata(self) -> dict[str, str]:
        """What the file carries because the caller said so: class names."""
        return {} if self.labels is None else {LABELS_KEY: json.dumps(list(self.labels))}

    def as_json(self, source: str) -> dict[str, Any]:
        """What goes into the lineage and the cache key: the source, the opset, and all that is not the default."""
        given = {k: v for k, v in vars(self).items() if v != ExportOptions.__dataclass_fields__[k].default}
        if self.labels is not None:  # a thousand names would fill the card; they are in the file
            digest = hashlib.sha256(self.metadata[LABELS_KEY].encode()).hexdigest()[:8]
            given["labels"] = f"{len(self.labels)} names, {digest}"
        return options_json(**{"source": source, **given, "opset": self.opset_wanted})


def _check_names(option: str, names: Sequence[str] | None) -> None:
    if names is None:
        return
    if isinstance(names, str) or not all(isinstance(n, str) and n for n in names):
        raise BadInput(f"{option}={names!r}", accepted="a list of names, one for each tensor, in order")
    if len(set(names)) < len(names):
        raise BadInput(f"{option}={list(names)!r} has a name twice", accepted="a different name for each tensor")


def _check_dynamic(dynamic: Dynamic) -> None:
    if dynamic is None or isinstance(dynamic, bool):
        return
    shape_ok = isinstance(dynamic, Mapping) and all(
        isinstance(axes, Mapping) and all(isinstance(a, int) and isinstance(n, str) for a, n in axes.items())
        for axes in dynamic.values()
    )
    if not shape_ok:
        raise BadInput(
            f"dynamic={dynamic!r}",
            accepted='None (found by itself), True, False, or {"input": {axis: "name"}}',
            do='dynamic={"x": {0: "batch"}}',
        )
