"""Tidy a graph before it is fused: the same computation in the one form that patterns are written for.

Constants are folded, shapes settled, single numbers are scalars and stand on the right, idle reshapes are gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from onnx_lab._quick_rules import quick_rules
from onnx_lab.transforms._shapes import infer_symbolic_shapes, take_shapes_from_inputs

if TYPE_CHECKING:
    import onnx_ir as ir

_ELEMENTWISE = frozenset("Add Sub Mul Div Where Pow".split())
_COMMUTATIVE = frozenset("Add Mul".split())


def tidy(model: ir.Model) -> None:
    """Bring `model` into that form, in place."""
    from onnxscript.optimizer import optimize as fold
    from onnxscript.rewriter import rewrite
    from onnxscript.rewriter.ort_fusions import shape_optimization
    from onnxscript.rewriter.rules.common import gemm_to_matmul_add_rule

    infer_symbolic_shapes(model)
    take_shapes_from_inputs(model)
    rewrite(model, [gemm_to_matmul_add_rule])
    fold(model)
    shape_optimization.rules.apply_to_model(model)
    settle(model)
    _unwrap_single_constants(model)
    _constants_last(model)
    _drop_idle_reshapes(model)
    _masks_together(model)
    _turn_keys_last(model)


def settle(model: ir.Model) -> None:
    """Fold constants, drop what is unused and bring shapes up to date, in place: after an edit."""
    from onnxscript.optimizer import optimize as fold

    with quick_rules():
        fold(model)
    infer_symbolic_shapes(model)


def _constants_last(model: ir.Model) -> None:
    """``bias + x`` becomes ``x + bias``."""
    import onnx_ir as ir

    for node in model.graph:
        if node.op_type not in _COMMUTATIVE or node.domain not in ("", "ai.onnx"):
            continue
        first, second = node.inputs
        if first is None or second is None or ir.convenience.get_const_tensor(first) is None:
            continue
        if ir.convenience.get_const_tensor(second) is None:
            node.replace_input_with(0, second)
            node.replace_input_with(1, first)


def _unwrap_single_constants(model: ir.Model) -> None:
    """``[0.5]`` becomes ``0.5`` where an elementwise operator broadcasts it against a tensor of higher rank.

    onnxscript takes a constant for a number only when it is a scalar; TorchScript writes lists of one.
    """
    import onnx_ir as ir

    for node in model.graph:
        if node.op_type not in _ELEMENTWISE or node.domain not in ("", "ai.onnx"):
            continue
        ranks = [len(v.shape) if v is not None and v.shape is not None else 0 for v in node.inputs]
        for i, v in enumerate(node.inputs):
            constant = ir.convenience.get_const_tensor(v) if v is not None else None
            if constant is not None and tuple(constant.shape) == (1,) and max(ranks) > 1:
                assert v is not None
                scalar = initializer(model.graph, f"{v.name}.scalar", constant.numpy().reshape(()))
                node.replace_input_with(i, scalar)


def _drop_idle_reshapes(model: ir.Model) -> None:
    """Remove Reshapes whose result has, axis by axis, the shape of their input."""
    import onnx_ir as ir

    for node in [n for n in model.graph if n.op_type == "Reshape"]:
        before, after = node.inputs[0], node.outputs[0]
        if before is None or before.shape is None or after.shape is None or after.is_graph_output():
            continue
        named = all(isinstance(d, int) or d.value is not None for d in before.shape)
        if named and list(before.shape) == list(after.shape):
            ir.convenience.replace_all_uses_with(after, before)
            model.graph.remove(node, safe=True)


def _masks_together(model: ir.Model) -> None:
    """``(scores + position bias) + mask`` becomes ``scores + (position bias + mask)``: one additive mask per block."""
    import onnx_ir as ir

    for outer in [n for n in model.graph if n.op_type == "Add"]:
        inner = outer.inputs[0].producer() if outer.inputs[0] is not None else None
        if inner is None or inner.op_type != "Add" or len(inner.outputs[0].uses()) != 1:
            continue
        scores = inner.inputs[0].producer() if inner.inputs[0] is not None else None
        feeds_softmax = [c.op_type for c in outer.outputs[0].consumers()] == ["Softmax"]
        if scores is None or scores.op_type not in ("MatMul", "Mul", "Div") or not feeds_softmax:
            continue
        both = ir.node("Add", [inner.inputs[1], outer.inputs[1]], name=f"{outer.name}.mask")
        both.outputs[0].name, both.outputs[0].dtype = (
            f"{outer.name}.mask_out",
            outer.outputs[0].dtype or ir.DataType.FLOAT,
        )
        both.metadata_props.update(outer.metadata_props)
        model.graph.insert_before(outer, both)
        outer.replace_input_with(0, inner.inputs[0])
        outer.replace_input_with(1, both.outputs[0])
        model.graph.remove(inner, safe=True)
    infer_symbolic_shapes(model)


def _turn_keys_last(model: ir.Model) -> None:
    """Keys transposed as ``[batch * heads, size, keys]`` and then split: split first, transposed then.

    ``nn.MultiheadAttention`` is exported in the first form, and patterns are written for the second.
    """
    import numpy as np
    import onnx_ir as ir

    for split in [n for n in model.graph if n.op_type == "Reshape"]:
        turn = split.inputs[0].producer() if split.inputs[0] is not None else None
        if turn is None or turn.op_type != "Transpose" or list(turn.attributes.get_ints("perm", [])) != [0, 2, 1]:
            continue
        folded, out = turn.inputs[0], split.outputs[0]
        target = ir.convenience.get_const_tensor(split.inputs[1]) if split.inputs[1] is not None else None
        if folded is None or target is None or len(turn.outputs[0].uses()) != 1 or out.shape is None:
            continue
        fold = folded.producer()
        if fold is not None and fold.op_type == "Reshape":  # four axes before that already: the patterns know this form
            continue
        numbers = target.numpy().tolist()
        before = turn.outputs[0].shape
        if before is None or len(numbers) != 4 or list(out.shape)[2:] != list(before)[1:] or 0 in numbers:
            continue
        numbers[2], numbers[3] = numbers[3], numbers[2]
        shape = initializer(model.graph, f"{split.name}.shape", np.array(numbers, np.int64))
        first = ir.node("Reshape", [folded, shape], name=f"{split.name}.split")
        then = ir.node("Transpose", [first.outputs[0]], {"perm": [0, 1, 3, 2]}, name=f"{split.name}.turn")
        first.outputs[0].name, first.outputs[0].dtype = f"{split.name}.split_out", out.dtype or ir.DataType.FLOAT
        first.outputs[0].shape = ir.Shape([out.shape[0], out.shape[1], out.shape[3], out.shape[2]])
        for new in (first, then):
            new.metadata_props.update(split.metadata_props)
        ir.convenience.replace_nodes_and_values(model.graph, split, [split], [first, then], [out], then.outputs)


def initializer(graph: ir.Graph, name: str, array: Any) -> ir.Value:
    """An initializer of this name; the one that is there when it holds the same."""
    import numpy as np
    import onnx_ir as ir

    if (there := graph.initializers.get(name)) is not None and there.const_value is not None:
        same = there.const_value.numpy()
        if same.shape == array.shape and same.dtype == array.dtype and np.array_equal(same, array):
            return there
        return initializer(graph, f"{name}_", array)
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value
