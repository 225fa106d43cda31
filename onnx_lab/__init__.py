"""onnx_lab: take a model to the smallest and fastest ONNX file that is still right on this machine.

>>> import onnx_lab as lab
>>> m = lab.samples.tiny()
>>> lab.simplify(m).header.nodes < m.header.nodes
True

*export* makes a Model, a transform makes a Model from a Model, measuring makes a result from Models, a plot shows a
result; magics (``%load_ext onnx_lab``) and dashboards only call these. Importing this package loads no torch, no
onnxruntime, no plotly.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from onnx_lab import errors as errors
    from onnx_lab import plots as plots
    from onnx_lab import samples as samples
    from onnx_lab import surgery as surgery
    from onnx_lab import workspace as workspace
    from onnx_lab._load import load as load
    from onnx_lab.background.job import Job as Job
    from onnx_lab.background.job import jobs as jobs
    from onnx_lab.background.job import start as start
    from onnx_lab.exporters.export import export as export
    from onnx_lab.jupyter.dashboard.board import Dashboard as Dashboard
    from onnx_lab.jupyter.dashboard.board import dashboard as dashboard
    from onnx_lab.jupyter.view.door import view as view
    from onnx_lab.measure.accuracy import accuracy as accuracy
    from onnx_lab.measure.bench import bench as bench
    from onnx_lab.measure.compare import compare as compare
    from onnx_lab.measure.diff import diff as diff
    from onnx_lab.measure.infer import infer as infer
    from onnx_lab.measure.inspect import inspect as inspect
    from onnx_lab.measure.nodes import nodes as nodes
    from onnx_lab.measure.profile import profile as profile
    from onnx_lab.measure.trace import trace as trace
    from onnx_lab.measure.verdict import verdict as verdict
    from onnx_lab.measure.why import why as why
    from onnx_lab.model import Model as Model
    from onnx_lab.model import Step as Step
    from onnx_lab.pair import ClipPair as ClipPair
    from onnx_lab.recipes.best import best as best
    from onnx_lab.recipes.fusions_explained import explain as explain
    from onnx_lab.recipes.overflows import overflows as overflows
    from onnx_lab.recipes.recipe import Recipe as Recipe
    from onnx_lab.recipes.reduce import reduce as reduce
    from onnx_lab.runtime.doctor import doctor as doctor
    from onnx_lab.runtime.target import Target as Target
    from onnx_lab.task import Task as Task
    from onnx_lab.transforms.bf16 import bf16 as bf16
    from onnx_lab.transforms.fix_shapes import fix_shapes as fix_shapes
    from onnx_lab.transforms.fp16 import fp16 as fp16
    from onnx_lab.transforms.length_buckets import buckets as buckets
    from onnx_lab.transforms.mixed_precision import mixed_precision as mixed_precision
    from onnx_lab.transforms.optimize import optimize as optimize
    from onnx_lab.transforms.quantize import quantize as quantize
    from onnx_lab.transforms.simplify import simplify as simplify

# public name -> (module, attribute); "" takes the module itself
_HOME = {
    "ClipPair": ("pair", "ClipPair"),
    "Dashboard": ("jupyter.dashboard.board", "Dashboard"),
    "Job": ("background.job", "Job"),
    "Model": ("model", "Model"),
    "Recipe": ("recipes.recipe", "Recipe"),
    "Step": ("model", "Step"),
    "Target": ("runtime.target", "Target"),
    "Task": ("task", "Task"),
    "accuracy": ("measure.accuracy", "accuracy"),
    "bench": ("measure.bench", "bench"),
    "best": ("recipes.best", "best"),
    "bf16": ("transforms.bf16", "bf16"),
    "buckets": ("transforms.length_buckets", "buckets"),
    "compare": ("measure.compare", "compare"),
    "dashboard": ("jupyter.dashboard.board", "dashboard"),
    "diff": ("measure.diff", "diff"),
    "doctor": ("runtime.doctor", "doctor"),
    "errors": ("errors", ""),
    "explain": ("recipes.fusions_explained", "explain"),
    "export": ("exporters.export", "export"),
    "fix_shapes": ("transforms.fix_shapes", "fix_shapes"),
    "fp16": ("transforms.fp16", "fp16"),
    "infer": ("measure.infer", "infer"),
    "inspect": ("measure.inspect", "inspect"),
    "jobs": ("background.job", "jobs"),
    "load": ("_load", "load"),
    "mixed_precision": ("transforms.mixed_precision", "mixed_precision"),
    "nodes": ("measure.nodes", "nodes"),
    "optimize": ("transforms.optimize", "optimize"),
    "overflows": ("recipes.overflows", "overflows"),
    "plots": ("plots", ""),
    "profile": ("measure.profile", "profile"),
    "quantize": ("transforms.quantize", "quantize"),
    "reduce": ("recipes.reduce", "reduce"),
    "samples": ("samples", ""),
    "simplify": ("transforms.simplify", "simplify"),
    "start": ("background.job", "start"),
    "surgery": ("surgery", ""),
    "trace": ("measure.trace", "trace"),
    "verdict": ("measure.verdict", "verdict"),
    "view": ("jupyter.view.door", "view"),
    "why": ("measure.why", "why"),
    "workspace": ("workspace", ""),
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'onnx_lab' has no attribute {name!r}")
    module, attribute = _HOME[name]
    found = importlib.import_module(f"onnx_lab.{module}")
    value = getattr(found, attribute) if attribute else found
    # no submodule bears the name of a public function, so an import never hides one: see docs/decisions.md
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext onnx_lab``: the magics. Prints nothing and imports nothing heavy."""
    from onnx_lab.jupyter import load

    load(ipython)


def unload_ipython_extension(ipython: Any) -> None:
    """``%unload_ext onnx_lab``."""
    from onnx_lab.jupyter import unload

    unload(ipython)
