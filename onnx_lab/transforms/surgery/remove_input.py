"""remove_input: an input that is always the same, a constant in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab._a_model import check_model
from onnx_lab.errors import BadInput, did_you_mean
from onnx_lab.model import Model, TensorSpec
from onnx_lab.task import Feeds
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery._free_mends import Mender, Size

if TYPE_CHECKING:
    import onnx_ir as ir

#: What the code needs of what the step found out.
FOUND = ("sizes", "dtype")


def remove_input(
    m: Model, tensor: str, value: float | None = None, *, name: str | None = None, check: bool = True
) -> Model:
    """Remove an input; a number takes its place, everywhere in it: token types that are always 0, a scale of 1.

    Parameters
    ----------
    m : Model
    tensor : str
        The input's name.
    value : float, optional
        What it was always fed. Needed where nodes read it. Its dynamic axes are read from another input that has an
        axis of the same name.
    name : str, optional
        Default ``"<name>-remove-input"``.
    check : bool, default True
        Run both files on random feeds, the original with this value.

    Returns
    -------
    Model

    Raises
    ------
    BadInput
        For a name that is no input; without a value where one is needed; when the size of an axis cannot be read from
        another input; a value that its type does not hold.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> two = lab.surgery.add_input(lab.samples.tiny(), "b1")
    >>> [s.name for s in lab.surgery.remove_input(two, "b1", 0.5).inputs]
    ['x']
    """
    check_model(m)
    specs = {s.name: s for s in m.inputs}
    if tensor not in specs:
        raise BadInput(f"{tensor!r} is no input", accepted=", ".join(specs), do=did_you_mean(tensor, specs))
    spec, notes = specs[tensor], dict[str, Any]()
    if value is not None:
        _held(spec, value)

    def fed(feeds: Feeds) -> Feeds:
        shape = [feeds[s[0]].shape[s[1]] if isinstance(s, tuple) else s for s in _sizes(m, spec)]
        return {**feeds, tensor: np.full(shape, value or 0, np.dtype(spec.dtype))}

    return edited(
        m,
        "remove_input",
        lambda g: _remove(m, g, spec, value, notes),
        options={"tensor": tensor, "value": value},
        name=name,
        promise="same",
        check=check,
        back=fed,
        notes=notes,
    )


def _held(spec: TensorSpec, value: float) -> None:
    held = np.array(value).astype(np.dtype(spec.dtype))
    if not np.isclose(float(held), float(value), rtol=1e-3):
        raise BadInput(f"{spec.name} is {spec.dtype}, which does not hold {value}", accepted=f"a {spec.dtype}")


def _remove(m: Model, model: ir.Model, spec: TensorSpec, value: float | None, notes: dict[str, Any]) -> list[str]:
    found = next(v for v in model.graph.inputs if v.name == spec.name)
    readers = [n.name or n.op_type for n in found.consumers()]
    is_output = found.is_graph_output()
    notes |= {"sizes": [], "dtype": spec.dtype}
    if not readers and not is_output:
        model.graph.inputs.remove(found)
        return [f"no longer an input: {spec.name}, which nothing read"]
    if value is None:
        raise BadInput(
            f"{spec.name} is read by {', '.join(readers[:3])}",
            accepted="a value in its place",
            do=f"surgery.remove_input(m, {spec.name!r}, 0)",
        )
    sizes = _sizes(m, spec)
    notes["sizes"] = [list(s) if isinstance(s, tuple) else s for s in sizes]
    made = Mender(model).filled(np.array(value).astype(np.dtype(spec.dtype)), sizes)
    found.replace_all_uses_with(made, replace_graph_outputs=True)
    model.graph.inputs.remove(found)
    return [f"no longer an input: {spec.name}; it is {value:g} now"]


def _sizes(m: Model, spec: TensorSpec) -> list[Size]:
    """Each axis as a number, or as an axis of the same name of another input."""
    homes = {d: (s.name, a) for s in reversed(m.inputs) if s.name != spec.name for a, d in enumerate(s.shape)}
    sizes: list[Size] = []
    for axis, dim in enumerate(spec.shape):
        if not isinstance(dim, int) and (dim is None or dim not in homes):
            raise BadInput(
                f"the size of axis {axis} of {spec} is known from no other input",
                accepted="an axis whose name another input has, too",
                do=f"surgery.static fixes it: {spec.name}:{axis}=SIZE",
            )
        sizes.append(dim if isinstance(dim, int) else homes[dim])
    return sizes


def plain_code(*, tensor: str, value: float | None = None, sizes: list[Any] | None = None, dtype: str = "") -> str:
    """The plain code of a remove_input step.

    Examples
    --------
    >>> print(plain_code(tensor="mask").splitlines()[-1])
    ir.save(model, "model-remove-input.onnx")
    """
    lines = ["values = ir.convenience.create_value_mapping(model.graph)"]
    imports: list[str] = []
    if value is not None and sizes is not None:
        imports = ["import numpy as np"]
        lines += [
            "first = model.graph[0]",
            "",
            "",
            "def put(op, *inputs, **attributes):",
            "    node = ir.node(op, [constant(i) if not isinstance(i, ir.Value) else i for i in inputs], attributes)",
            "    model.graph.insert_before(first, node)",
            "    return node.outputs[0]",
            "",
            "",
            "def constant(array):",
            "    made = ir.Value(name=f'new.{len(model.graph.initializers)}', const_value=ir.tensor(array))",
            "    model.graph.register_initializer(made)",
            "    return made",
            "",
            "",
            f"sizes = {[tuple(s) if isinstance(s, (list, tuple)) else s for s in sizes]!r}",
            "parts = [np.array([s]) if isinstance(s, int)",
            '         else put("Gather", put("Shape", values[s[0]]), np.array([s[1]])) for s in sizes]',
            'shape = put("Concat", *parts, axis=0) if parts else constant(np.zeros(0, np.int64))',
            f"made = put('Expand', np.array({value!r}, np.{dtype}), shape)",
            f"values[{tensor!r}].replace_all_uses_with(made, replace_graph_outputs=True)",
        ]
    text = program("remove_input", *lines, imports=imports)
    removed = f"model.graph.inputs.remove(values[{tensor!r}])"
    save = text.splitlines()[-1]
    return text.replace(save, f"{removed}\n{save}")
