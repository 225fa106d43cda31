"""How long a report of a very large file takes, and how much of the file is read for it.

    python benchmarks/inspect_large.py [--nodes 10000] [--gigabytes 4] [--json FILE]

Makes a file of so many nodes whose weights lie beside it as so many bytes (a file of holes: it takes no room), loads
and inspects it in a new Python, and prints seconds, bytes read and the largest memory, of that Python and of the child
that infers the shapes. Asked: under 5 s for 10,000 nodes and 4 GB, without reading the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

#: Nodes of one layer.
_PER_LAYER = 4


def make(folder: Path, nodes: int, size_bytes: int) -> Path:
    """A residual network of `nodes` nodes, as an exporter names them, with external weights."""
    layers = nodes // _PER_LAYER
    width = int((size_bytes / 4 / layers) ** 0.5)
    offset, weights, every = 0, [], []
    x = "x"
    for i in range(layers):
        for name, dims in ((f"layers.{i}.weight", [width, width]), (f"layers.{i}.bias", [width])):
            tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
            length = 4 * width ** len(dims)
            for key, value in (("location", "big.data"), ("offset", str(offset)), ("length", str(length))):
                tensor.external_data.add(key=key, value=value)
            offset += length
            weights.append(tensor)
        scope = f"/net/stage.{i // 100}/layers.{i}"
        every += [
            helper.make_node("MatMul", [x, weights[-2].name], [f"m{i}"], f"{scope}/fc/MatMul"),
            helper.make_node("Add", [f"m{i}", weights[-1].name], [f"a{i}"], f"{scope}/fc/Add"),
            helper.make_node("Relu", [f"a{i}"], [f"r{i}"], f"{scope}/act/Relu"),
            helper.make_node("Add", [f"r{i}", x], [f"y{i}"], f"{scope}/Add"),
        ]
        x = f"y{i}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", "seq", width]) for n in ("x", x)]
    graph = helper.make_graph(every, "big", ends[:1], ends[1:], weights)
    with (folder / "big.data").open("wb") as f:
        f.truncate(offset)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "big.onnx")
    return folder / "big.onnx"


def report(path: Path) -> dict[str, Any]:
    """What `lab.inspect` costs in this Python, which has done nothing else."""
    start = time.perf_counter()
    import onnx_lab as lab

    m = lab.load(path)
    loaded = time.perf_counter()
    look = lab.inspect(m)
    text = look._repr_html_()
    done, cpu = time.perf_counter(), time.process_time()
    chart = look.plot()
    own, child = _process("self"), _process(_child())
    return {
        "nodes": look.nodes,
        "gigabytes": m.size_bytes / 1e9,
        "macs": look.macs,
        "unknown": sum(look.unknown_macs.values()),
        "load_s": loaded - start,
        "inspect_s": done - loaded,
        "cpu_s (this Python)": cpu,
        "chart_s": time.perf_counter() - done,
        "card_kb": len(text) / 1e3,
        "boxes": len(chart.below.figure.data[0].ids) if chart.below else 0,
        **{f"{k} (this Python)": v for k, v in own.items()},
        **{f"{k} (child)": v for k, v in child.items()},
    }


def _child() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()[0]


def _process(who: str) -> dict[str, float]:
    """Megabytes that a process read from files and pipes, and its largest memory."""
    io = dict(line.split(": ") for line in Path(f"/proc/{who}/io").read_text().splitlines())
    status = Path(f"/proc/{who}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return {"read_mb": int(io["rchar"]) / 1e6, "peak_mb": peak * 1024 / 1e6}


def main() -> None:
    """Make the file, then report on it in a new Python."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--of", type=Path, help="report on this file, and print JSON")
    asked = parser.parse_args()
    if asked.of:
        print(json.dumps(report(asked.of)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = make(Path(folder), asked.nodes, int(asked.gigabytes * 1e9))
        said = subprocess.run([sys.executable, __file__, "--of", str(path)], capture_output=True, text=True, check=True)
    found = json.loads(said.stdout.splitlines()[-1])
    for key, value in found.items():
        print(f"{key:24} {value:,.2f}" if isinstance(value, float) else f"{key:24} {value:,}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
