"""Groups: by module, by name, by what repeats; and none that a person could not read."""

from __future__ import annotations

import pytest
from chains import blocks_of, flat_of, relus

from onnx_lab.plots.graph.tree import MOST, Tree, grouped


def labels(tree: Tree, group: int | None = None) -> list[str]:
    kids = tree.groups[tree.root if group is None else group].children
    return [tree.groups[c].label if c in tree.groups else tree.flat.nodes[c].op for c in kids]


def child(tree: Tree, label: str) -> int:
    return next(g for g, group in tree.groups.items() if group.label == label)


def test_modules_are_groups_and_single_boxes_are_not() -> None:
    tree = grouped(flat_of(relus(["/net/body/0/Relu", "/net/body/0/Relu_1", "/net/body/1/Relu", "/net/head/Relu"])))
    assert labels(tree) == ["input", "net", "output"]
    assert labels(tree, child(tree, "net")) == ["body", "Relu"]
    assert labels(tree, child(tree, "body")) == ["0", "Relu"]
    assert tree.groups[child(tree, "0")].path == "net.body.0"


def test_numbered_blocks_say_how_many_are_alike() -> None:
    names = [f"/layer/{i}/{op}" for i in range(12) for op in ("Relu", "Relu_1")]
    tree = grouped(flat_of(relus(names)))
    assert tree.groups[child(tree, "layer")].alike == 12


def test_a_chain_of_groups_keeps_all_their_names() -> None:
    tree = grouped(flat_of(relus([f"/a/b/c/Relu_{i}" for i in range(3)] + ["/d/Relu", "/d/Relu_1"])))
    assert labels(tree) == ["input", "a.b.c", "d", "output"]


def test_names_with_dots_serve_where_there_are_no_modules() -> None:
    tree = grouped(flat_of(relus(["body.conv", "body.act", "head.out", "head.act"])))
    assert labels(tree) == ["input", "body", "head", "output"]


def test_nodes_without_a_module_go_to_whoever_reads_them() -> None:
    tree = grouped(flat_of(relus(["shape", "/a/Relu", "/a/Relu_1", "/b/Relu", "/b/Relu_1", "/b/Relu_2"])))
    assert labels(tree, child(tree, "a")) == ["Relu", "Relu", "Relu"]


def test_a_flat_graph_is_grouped_by_its_repeats() -> None:
    tree = grouped(flat_of(blocks_of(["Relu", "Neg", "Tanh", "Abs"], times=40)))
    group = tree.groups[next(c for c in tree.groups[tree.root].children if c in tree.groups)]
    assert group.alike == 40
    assert [tree.form(c) for c in group.children] == [tree.form(group.children[0])] * 40
    assert tree.groups[group.children[0]].label == "block 1"


@pytest.mark.parametrize("times", [1, 900])
def test_no_group_is_larger_than_a_person_reads_and_no_node_is_lost(times: int) -> None:
    ops = ["Relu", "Neg", "Tanh", "Abs", "Exp"]
    mixed = [ops[(i * i + i // 7) % 5] for i in range(500)] if times == 1 else ops
    flat = flat_of(blocks_of(mixed, times))
    tree = grouped(flat)
    assert max(len(g.children) for g in tree.groups.values()) <= MOST
    assert sorted(tree.nodes(tree.root)) == list(range(len(flat.nodes)))
