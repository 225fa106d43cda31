"""An If whose condition is known is the branch that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from onnx_lab.transforms.surgery._known import Known
from onnx_lab.transforms.surgery._make import free_name
from onnx_lab.transforms.surgery._rewire import drop_unread, stand_in

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass
class Resolved:
    """What became of the Ifs of a model: sentences, the branch of each (by its output), why those that stay do."""

    say: list[str] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)
    stay: list[str] = field(default_factory=list)


def resolve_all(model: ir.Model) -> Resolved:
    """Inline the branch of each If whose condition is known, from the outside in, in place."""
    told = Resolved()
    done = True
    while done:
        done, known = False, Known()
        for node in [n for n in model.graph.all_nodes() if n.op_type == "If" and n.domain in ("", "ai.onnx")]:
            answer = known(node.inputs[0])
            if answer is not None:
                truth = bool(answer.reshape(-1)[0])
                told.taken.append((str(node.outputs[0].name), "then" if truth else "else"))
                told.say.append(take(model, node, taken=truth))
                done = True
                break  # the walk is over a graph that has changed
    told.stay = [why_open(n) for n in model.graph.all_nodes() if n.op_type == "If"]
    return told


def take(model: ir.Model, node: ir.Node, *, taken: bool) -> str:
    """Put the nodes of one branch in the If's place; returns a sentence."""
    graph = node.graph
    assert graph is not None
    branch, other = (node.attributes[a].as_graph() for a in ("then_branch", "else_branch")[:: 1 if taken else -1])
    lost = sum(1 for _ in other.all_nodes())
    outs = list(branch.outputs)
    branch.outputs.clear()
    _move_weights(model, branch, graph)
    moved = list(branch)
    branch.remove(moved)
    for inner in moved:
        for key, value in node.metadata_props.items():
            inner.metadata_props.setdefault(key, value)
    graph.insert_before(node, moved)
    for old, new in zip(node.outputs, outs, strict=True):
        new.shape, new.type = new.shape or old.shape, new.type or old.type
        stand_in(node, old, new)
    read = [v for v in node.inputs if v is not None] + _let_go(other)
    title = node.name or "If"
    graph.remove(node, safe=True)
    drop_unread(read)
    word = "then" if taken else "else"
    return f"If {title} is its {word} branch ({len(moved)} nodes); the other had {lost}"


def _let_go(graph: ir.Graph) -> list[ir.Value]:
    """Nodes of a branch that is gone read nothing any more; returns what they read."""
    graph.outputs.clear()
    read = []
    for node in list(graph.all_nodes()):
        for i, value in enumerate(node.inputs):
            if value is not None:
                read.append(value)
                node.replace_input_with(i, None)
    return read


def _move_weights(model: ir.Model, branch: ir.Graph, graph: ir.Graph | ir.Function) -> None:
    home = graph if isinstance(graph, type(model.graph)) else model.graph
    for value in list(branch.initializers.values()):
        del branch.initializers[str(value.name)]
        value.name = free_name(model, str(value.name))
        home.register_initializer(value)


def why_open(node: ir.Node) -> str:
    """Why nobody knows the answer beforehand: the inputs that decide it."""
    seen: set[int] = set()
    sources: list[str] = []
    todo = [v for v in node.inputs if v is not None]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        maker = value.producer()
        if maker is None and not value.is_initializer():
            sources.append(str(value.name))
        elif maker is not None:
            todo += [v for v in maker.inputs if v is not None]
    condition = node.inputs[0].name if node.inputs[0] is not None else "?"
    return f"If {node.name or ''} stays: {condition} depends on {', '.join(sorted(sources)) or 'what is computed'}"
