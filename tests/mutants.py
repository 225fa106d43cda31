"""Files broken in every way that a seed thinks of, and the doors they are pushed through.

Run as a program it is the user's Python: ``python mutants.py FOLDER FIRST LAST`` makes these files, tries every door
with each, and prints a line of JSON for each file; number -1 is the file that nobody broke. A crash ends it, and
whoever started it sees which file did.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

#: What a mutated file may name, and nobody may read.
SECRET = "not-yours.bin"
_ADDRESS_SPACE_BYTES = 8 << 30
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def base(folder: Path, *, external: bool, function: bool) -> onnx.ModelProto:
    """A small model of many parts: products, a convolution, shape arithmetic, an If in an If, a function."""
    spec, node = helper.make_tensor_value_info, helper.make_node
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in {"kernel": (4, 3, 3, 3), "w": (64, 8), "b": (8,), "alpha": (1,)}.items()
    ]
    weights += [numpy_helper.from_array(np.array([0, -1], np.int64), "flat")]
    inner = helper.make_graph(
        [
            node(
                "If",
                ["flag"],
                ["r2"],
                "choose_again",
                then_branch=_branch("Neg", "t2"),
                else_branch=_branch("Abs", "e2"),
            )
        ],
        "outer",
        [],
        [spec("r2", TensorProto.FLOAT, None)],
    )
    nodes = [
        node("Conv", ["x", "kernel"], ["c"], "/net/conv/Conv", pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["act"], "/net/act/Relu"),
        node("Reshape", ["act", "flat"], ["f"], "/net/Reshape"),
        node("MatMul", ["f", "w"], ["p"], "/net/fc/MatMul"),
        node("Add", ["p", "b"], ["s"], "/net/fc/Add"),
        node("ReduceMax", ["s"], ["m"], "/net/ReduceMax", keepdims=0),
        node("Greater", ["m", "alpha0"], ["flag"], "/net/Greater"),
        node("If", ["flag"], ["r"], "choose", then_branch=inner, else_branch=_branch("Neg", "e1")),
        node("twice", ["r"], ["d"], "call", domain="own") if function else node("Add", ["r", "r"], ["d"], "call"),
        node("Shape", ["x"], ["dims"], "/net/Shape"),
        node("Gather", ["dims", "zero"], ["n"], "/net/Gather"),
        node("Concat", ["n", "eight"], ["size"], "/net/Concat", axis=0),
        node("Reshape", ["d", "size"], ["y"], "/net/out/Reshape"),
    ]
    weights += [
        numpy_helper.from_array(np.array(0.5, np.float32), "alpha0"),
        numpy_helper.from_array(np.array([0], np.int64), "zero"),
        numpy_helper.from_array(np.array([8], np.int64), "eight"),
    ]
    twice = helper.make_function(
        "own", "twice", ["a"], ["o"], [node("Add", ["a", "a"], ["o"])], [helper.make_opsetid("", 20)]
    )
    graph = helper.make_graph(
        nodes,
        "net",
        [spec("x", TensorProto.FLOAT, ["batch", 3, 4, 4])],
        [spec("y", TensorProto.FLOAT, ["batch", 8])],
        weights,
    )
    opsets = [helper.make_opsetid("", 20), *[helper.make_opsetid("own", 1)] * function]
    proto = helper.make_model(graph, opset_imports=opsets, functions=[twice] * function, ir_version=9)
    if external:
        onnx.save(proto, folder / "m.onnx", save_as_external_data=True, location="m.data", size_threshold=100)
        proto = onnx.load(folder / "m.onnx", load_external_data=False)
    return proto


def _branch(op: str, name: str) -> onnx.GraphProto:
    result = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([helper.make_node(op, ["s"], [name])], name, [], [result])


# --- how a file is broken; each edits the message in place, or returns bytes


def flipped_bits(r: random.Random, p: onnx.ModelProto, _: Path) -> bytes:
    data = bytearray(p.SerializeToString())
    for _i in range(r.choice([1, 1, 2, 8, 64])):
        data[r.randrange(len(data))] ^= 1 << r.randrange(8)
    return bytes(data)


def cut_off(r: random.Random, p: onnx.ModelProto, _: Path) -> bytes:
    data = p.SerializeToString()
    return data[: r.randrange(len(data))]


def overwritten(r: random.Random, p: onnx.ModelProto, _: Path) -> bytes:
    data = bytearray(p.SerializeToString())
    at, length = r.randrange(len(data)), r.randrange(1, 40)
    piece = r.choice([r.randbytes(length), bytes(length), b"\xff" * length, bytes(data[:length])])
    data[at : at + length] = piece
    return bytes(data)


def cycle(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    first, last = sorted(r.sample(range(len(p.graph.node)), 2))
    p.graph.node[first].input[0] = p.graph.node[last].output[0]


def into_itself(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    node = r.choice(p.graph.node)
    node.input[0] = node.output[0]


def missing_initializer(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    del p.graph.initializer[r.randrange(len(p.graph.initializer))]


def absurd_weight(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    tensor = r.choice(p.graph.initializer)
    tensor.dims[:] = r.choice([[1 << 40], [-1, 8], [1 << 31, 1 << 31], [1 << 62, 4], [0], [3] * 70, [-(1 << 63)]])


def absurd_input(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    dims = p.graph.input[0].type.tensor_type.shape.dim
    dims[r.randrange(len(dims))].dim_value = r.choice([1 << 40, -1, 0, (1 << 63) - 1, 1 << 14])


def absurd_shape(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    size = r.choice([1 << 40, -7, (1 << 63) - 1, 1 << 33, 0])
    target = next(t for t in p.graph.initializer if t.name == r.choice(["flat", "eight", "zero"]))
    target.CopyFrom(numpy_helper.from_array(np.full(len(target.dims) and target.dims[0], size, np.int64), target.name))


def absurd_constant(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    op = r.choice(["ConstantOfShape", "Expand", "Range", "Tile"])
    huge = numpy_helper.from_array(np.array([r.choice([1 << 40, 1 << 36, -5, 1 << 62])], np.int64), "huge")
    one = numpy_helper.from_array(np.array(1, np.int64), "one")
    scalar = numpy_helper.from_array(numpy_helper.to_array(huge)[0], "scalar")
    p.graph.initializer.extend([huge, one, scalar])
    inputs = {"ConstantOfShape": ["huge"], "Expand": ["zero", "huge"], "Tile": ["zero", "huge"]}
    p.graph.node.insert(0, helper.make_node(op, inputs.get(op, ["one", "scalar", "one"]), ["vast"]))
    p.graph.output.append(helper.make_tensor_value_info("vast", TensorProto.INT64, None))


def outside(r: random.Random, p: onnx.ModelProto, folder: Path) -> None:
    tensor = next(t for t in p.graph.initializer if t.name == "w")
    secret = folder.parent / SECRET
    (folder / "link.bin").symlink_to(secret)
    (folder / "below").symlink_to(folder.parent)
    location = r.choice([str(secret), f"../{SECRET}", "link.bin", f"below/{SECRET}", f"./below/../../{SECRET}"])
    _move_out(tensor, location=location, offset="0", length="2048")


def wrong_external(r: random.Random, p: onnx.ModelProto, folder: Path) -> None:
    tensor = next(t for t in p.graph.initializer if t.name == r.choice(["w", "flat"]))
    (folder / "m.bin").write_bytes(bytes(4096))
    wrong = r.choice(
        [
            {"location": "nowhere.bin"},
            {"location": ""},
            {"location": "m.bin", "offset": "-1", "length": "2048"},
            {"location": "m.bin", "offset": "many", "length": "2048"},
            {"location": "m.bin", "offset": "0", "length": "1e3"},
            {"location": "m.bin", "offset": str(1 << 62), "length": "2048"},
            {"location": "m.bin", "offset": "0", "length": str(1 << 40)},
            {"location": "m.bin", "offset": "0", "length": "4"},
            {"location": "m.bin\0x", "offset": "0", "length": "4"},
            {"location": "."},
            {"location": "m.onnx", "offset": "0", "length": "100"},
        ]
    )
    _move_out(tensor, **wrong)


def _move_out(tensor: TensorProto, **entries: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)


def wrong_type(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    kind = r.choice([0, 2, 7, 8, 9, 16, 17, 22, 99])
    what = r.randrange(3)
    if what == 0:
        r.choice(p.graph.initializer).data_type = kind
    elif what == 1:
        p.graph.input[0].type.tensor_type.elem_type = kind
    else:
        p.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = kind


def wrong_attribute(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    node = r.choice([n for n in p.graph.node if n.attribute])
    attribute = r.choice(node.attribute)
    what = r.randrange(4)
    if what == 0:
        attribute.type = r.choice([0, 1, 2, 3, 4, 5, 6, 7, 11, 14])
    elif what == 1:
        attribute.CopyFrom(helper.make_attribute(attribute.name, r.choice([1 << 62, -9, 1.5, "text", [1 << 40, -3]])))
    elif what == 2:
        attribute.name = r.choice(["", "no_such_thing", "axis"])
    else:
        node.attribute.append(helper.make_attribute(attribute.name, 3))


def duplicated(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    first, second = r.sample(list(p.graph.node), 2)
    what = r.randrange(4)
    if what == 0:
        second.output[0] = first.output[0]
    elif what == 1:
        p.graph.initializer.append(r.choice(p.graph.initializer))
    elif what == 2:
        p.graph.input.append(p.graph.input[0])
    else:
        second.name = first.name


def no_outputs(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    node = r.choice(p.graph.node)
    what = r.randrange(4)
    if what == 0:
        del node.output[:]
    elif what == 1:
        del node.input[:]
    elif what == 2:
        node.output[0] = ""
    else:
        node.op_type = r.choice(["", "NoSuchOperator", "If", "Loop"])


def deep(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    graph = _branch("Neg", "bottom")
    for level in range(r.choice([5, 20, 60, 400])):
        outer = helper.make_graph([], f"level{level}", [], [helper.make_tensor_value_info(f"l{level}", 1, None)])
        node = outer.node.add(op_type="If", input=["flag"], output=[f"l{level}"])
        for name in ("then_branch", "else_branch"):
            attribute = node.attribute.add(name=name, type=onnx.AttributeProto.GRAPH)
            attribute.g.CopyFrom(graph if name == "then_branch" else _branch("Neg", f"e{level}"))
        graph = outer
    choose = next(n for n in p.graph.node if n.op_type == "If")
    choose.attribute[0].g.CopyFrom(graph)


def recursive(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    function = p.functions[0]
    if r.random() < 0.5:
        function.node[0].op_type, function.node[0].domain = "twice", "own"
        del function.node[0].input[1:]
        function.opset_import.append(helper.make_opsetid("own", 1))
        return
    other = p.functions.add()
    other.CopyFrom(function)
    other.name = "thrice"
    for f, target in ((function, "thrice"), (other, "twice")):
        f.node[0].op_type, f.node[0].domain = target, "own"
        del f.node[0].input[1:]
        f.opset_import.append(helper.make_opsetid("own", 1))


def broken_notes(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    key = r.choice(["onnx_lab.lineage", "onnx_lab.session", "onnx_lab.labels"])
    value = r.choice(["{", "[1]", '{"a": 1}', '[{"verb": 3}]', '"x"', "null", "[[[[[[", '{"profile_to": "/"}'])
    p.metadata_props.add(key=key, value=value)


def strange_opset(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    p.opset_import[0].version = r.choice([0, 1, 6, -3, 1 << 40, 26])


def short_data(r: random.Random, p: onnx.ModelProto, _: Path) -> None:
    tensor = r.choice([t for t in p.graph.initializer if t.raw_data])
    tensor.raw_data = r.choice([b"", tensor.raw_data[:-1], tensor.raw_data * 3])


MUTATIONS: tuple[Callable[[random.Random, onnx.ModelProto, Path], bytes | None], ...] = (
    flipped_bits, cut_off, overwritten, cycle, into_itself, missing_initializer, absurd_weight, absurd_input,
    absurd_shape, absurd_constant, outside, wrong_external, wrong_type, wrong_attribute, duplicated, no_outputs, deep,
    recursive, broken_notes, strange_opset, short_data,
)  # fmt: skip


def make(number: int, folder: Path) -> tuple[str, Path]:
    """File `number` in a folder of its own: the same for the same number."""
    r = random.Random(number)
    folder.mkdir(parents=True)
    change = MUTATIONS[number % len(MUTATIONS)]
    external = number % 3 == 0 and change not in (outside, wrong_external)
    proto = base(folder, external=external, function=number % 2 == 0 or change is recursive)
    with contextlib.suppress(ValueError, StopIteration, IndexError):  # numbers that protobuf itself refuses
        made = change(r, proto, folder)
        (folder / "m.onnx").write_bytes(made if isinstance(made, bytes) else proto.SerializeToString())
        return change.__name__, folder / "m.onnx"
    (folder / "m.onnx").write_bytes(proto.SerializeToString())
    return change.__name__, folder / "m.onnx"


def whole(folder: Path) -> Path:
    """The file that nobody broke: what every door must take."""
    folder.mkdir(parents=True)
    (folder / "m.onnx").write_bytes(base(folder, external=False, function=False).SerializeToString())
    return folder / "m.onnx"


# --- the doors: more can be added; each takes a Model and returns anything


def _doors() -> dict[str, Callable[[Any], Any]]:
    import onnx_lab as lab

    return {
        "card": repr,
        "inspect": lambda m: repr(lab.inspect(m, batch=2)),
        "nodes": lambda m: repr(lab.nodes(m)),
        "infer": _infer,
        "simplify": lab.simplify,
        "expose": lambda m: lab.surgery.expose(m, _inner(m), check=False),
        "set_batch": lambda m: lab.surgery.set_batch(m, 3, check=False),
        "view": lambda m: repr(lab.view(m)),
    }


def _inner(m: Any) -> str:
    """A tensor inside, or a name that is none."""
    names = [v.name for node in m.to_ir().graph for v in node.outputs if v.name]
    return str(names[len(names) // 2]) if names else "nothing"


class _Engine:
    """One child for all files: what `lab.infer` does, without a new process for each."""

    worker: Any = None


def _infer(m: Any) -> Any:
    from onnx_lab.feeds import model_feeds
    from onnx_lab.runtime.client import Worker

    feeds = model_feeds(m, batch=2)
    if _Engine.worker is None or not _Engine.worker.alive:
        _Engine.worker = Worker.for_model(m, "cpu", timeout_s=30)
    else:
        _Engine.worker.reopen(m)
    return _Engine.worker.run(feeds)


def push(path: Path) -> dict[str, str]:
    """Door -> what came: ``"ok"``, the name of the lab's error, or ``"!"`` and what should not have come."""
    import onnx_lab as lab
    from onnx_lab.errors import OnnxLabError

    found: dict[str, str] = {}

    def through(door: str, step: Callable[[], Any]) -> Any:
        start = time.monotonic()
        try:
            value, found[door] = step(), "ok"
        except OnnxLabError as e:
            value, found[door] = None, type(e).__name__ if e.came and (e.do or e.accepted) else f"! {e} (and no advice)"
        except BaseException as e:
            value, found[door] = None, f"! {type(e).__name__}: {e}"[:300]
        if time.monotonic() - start > 20:
            found[door] = f"! {time.monotonic() - start:.0f} s"
        return value

    m = through("load", lambda: lab.load(path))
    if m is not None:
        for door, step in _doors().items():
            through(door, lambda step=step: step(m))
    return found


def main() -> None:
    """The user's Python, in which nothing may crash and nothing outside may be opened."""
    import resource

    import onnx_lab as lab

    folder, first, last = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE_BYTES, _ADDRESS_SPACE_BYTES))
    lab.simplify(lab.samples.tiny())  # what is imported late is imported now
    touched: list[str] = []
    allowed = tuple(os.path.realpath(p) for p in (os.environ["ONNX_LAB_HOME"], folder, tempfile.gettempdir(), "/dev"))

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(args[0], str | bytes | os.PathLike):
            real = os.path.realpath(os.fsdecode(args[0]))
            if SECRET in real or (args[2] & _WRITES and not real.startswith(allowed)):
                touched.append(real)

    sys.addaudithook(watch)
    for number in range(first, last):
        kind, path = make(number, folder / f"{number}") if number >= 0 else ("whole", whole(folder / "whole"))
        print(json.dumps({"number": number, "kind": kind}), flush=True)
        found = push(path)
        print(json.dumps({"number": number, "kind": kind, "found": found, "touched": touched}), flush=True)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM"))
    print(json.dumps({"peak_mb": peak, "engine_mb": _Engine.worker.peak_rss_bytes >> 20}), flush=True)


if __name__ == "__main__":
    main()
