"""Frameworks that are recognised and not exported yet: told by the name of their modules, without importing them."""

from __future__ import annotations

from onnx_lab.errors import NotInThisVersion

#: First part of a class's module -> what it is called, and how to get a .onnx file from it meanwhile.
_FRAMEWORKS = {
    "xgboost": ("XGBoost", "onnxmltools.convert_xgboost(model, ...), then lab.load"),
    "lightgbm": ("LightGBM", "onnxmltools.convert_lightgbm(model, ...), then lab.load"),
    "jax": ("JAX", "jax2tf and tf2onnx, then lab.load"),
    "flax": ("Flax", "jax2tf and tf2onnx, then lab.load"),
}


def framework_of(obj: object) -> str:
    """First module name, among those known here, in the ancestry of the object's class; empty when none.

    Examples
    --------
    >>> framework_of(3)
    ''
    """
    roots = [k.__module__.split(".")[0] for k in type(obj).__mro__]
    return next((r for r in roots if r in _FRAMEWORKS), "")


def not_yet(obj: object) -> NotInThisVersion:
    """The error for an object of such a framework."""
    framework, way = _FRAMEWORKS[framework_of(obj)]
    return NotInThisVersion(f"{type(obj).__name__} is a {framework} model, which this version does not export", do=way)
