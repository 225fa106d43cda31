"""Why something that looks like a Gelu did not become one node.

x * 0.5 * (1 + erf(x / √2))        x * 0.5 * (1 + tanh(√(2/π) * (x + 0.044715 x³)))
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from onnx_lab.transforms import _near as near

if TYPE_CHECKING:
    import onnx_ir as ir

    from onnx_lab.transforms.explain import Unfused

_MODULE = "torch.nn.GELU() in the source, and export again"
_ROOT = math.sqrt(2.0)
_TANH = math.sqrt(2.0 / math.pi)
_CUBE = 0.044715
_QUICK = 1.702


def open_gelus(model: ir.Model) -> list[Unfused]:
    """All Erf, and all Tanh and Sigmoid that stand where a Gelu has them, with what is in the way."""
    whys = {"Erf": _why_erf, "Tanh": _why_tanh, "Sigmoid": _why_sigmoid}
    near_ones = [(n, whys[n.op_type](n)) for n in model.graph if n.op_type in whys]
    return [near.left(node, *reason) for node, reason in near_ones if reason]


def why_not(model: ir.Model) -> str:
    """The first reason, for the card of `optimize`."""
    first = next(iter(open_gelus(model)), None)
    return f"{first.node}: {first.reason}" if first else ""


def _why_erf(erf: ir.Node) -> tuple[str, str]:
    inner = near.maker(erf.inputs[0], "Div", "Mul")
    factor, x = near.sides(inner) if inner is not None else (None, None)
    if inner is None or factor is None or x is None:
        return "what goes into its Erf is not x / √2", _MODULE
    if inner.op_type == "Mul" and near.near(factor, 1 / _ROOT):
        return "x is multiplied by 0.7071, where the pattern divides it by √2", f"x / math.sqrt(2), or {_MODULE}"
    if inner.op_type == "Mul" or not near.near(factor, _ROOT):
        word = "multiplied" if inner.op_type == "Mul" else "divided"
        return f"x is {word} by {factor:.6g}, where Gelu divides it by √2 = 1.41421", _MODULE
    return _why_tail(erf, x, "Erf") or ("its form is not one that is known", _MODULE)


def _why_tanh(tanh: ir.Node) -> tuple[str, str] | None:
    """None for a Tanh of its own."""
    outer = near.maker(tanh.inputs[0], "Mul")
    factor, total = near.sides(outer) if outer is not None else (None, None)
    add = near.maker(total, "Add")
    if outer is None or factor is None or add is None:
        return None
    for x, cubic in (add.inputs, tuple(add.inputs)[::-1]):
        third = near.maker(cubic, "Mul")
        small, cube = near.sides(third) if third is not None else (None, None)
        if third is None or small is None or x is None:
            continue
        if near.maker(cube, "Pow") is None:
            return "x³ is written as products, where the pattern has Pow(x, 3)", f"x.pow(3), or {_MODULE}"
        if not near.near(small, _CUBE):
            return f"x³ is multiplied by {small:.6g}, where Gelu has 0.044715", _MODULE
        if not near.near(factor, _TANH):
            return f"the sum is multiplied by {factor:.6g}, where Gelu has √(2/π) = 0.797885", _MODULE
        return _why_tail(tanh, x, "Tanh") or ("its form is not one that is known", _MODULE)
    return None


def _why_tail(node: ir.Node, x: ir.Value, word: str) -> tuple[str, str] | None:
    """From the Erf or Tanh on: add 1, multiply by x and by a half."""
    out = node.outputs[0]
    adds = near.readers(out, "Add")
    if more := near.others(out, adds[:1]):
        return f"its {word} {more}", "take that use out"
    if not adds or not near.near(near.sides(adds[0])[0], 1.0):
        return f"behind its {word} stands no + 1", _MODULE
    value, factors = adds[0].outputs[0], list[float]()
    by_x = False
    for _ in range(2):
        products = near.readers(value, "Mul")
        if len(products) != 1 or (more := near.others(value, products)):
            return f"1 + {word} {more}" if products and more else f"1 + {word} is not multiplied by x / 2", _MODULE
        factor, _rest = near.sides(products[0])
        other = next((v for v in products[0].inputs if v is not value), None)
        if factor is not None:
            factors.append(factor)
        elif other is x:
            by_x = True
        elif (half := near.maker(other, "Mul")) is not None and x in half.inputs:
            factors.append(near.sides(half)[0] or math.nan)
            by_x = True
            break
        else:
            return f"1 + {word} is multiplied by {other.name if other else 'another'!r}, not by the same x", _MODULE
        value = products[0].outputs[0]
    if not by_x or not factors or not near.near(math.prod(factors), 0.5):
        return f"1 + {word} is multiplied by {math.prod(factors):.6g}, where Gelu has 0.5 x", _MODULE
    return None


def _why_sigmoid(sigmoid: ir.Node) -> tuple[str, str] | None:
    """None for a Sigmoid of its own."""
    scaled = near.maker(sigmoid.inputs[0], "Mul")
    factor, x = near.sides(scaled) if scaled is not None else (None, None)
    if not near.near(factor, _QUICK) or not any(x in n.inputs for n in near.readers(sigmoid.outputs[0], "Mul")):
        return None
    return "x · sigmoid(1.702 x) is QuickGelu, another formula", "nothing: ONNX Runtime makes it one node at load"
