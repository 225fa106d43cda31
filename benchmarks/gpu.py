"""The GPU's table: BERT-base, VGG16 and CLIP on every GPU provider that runs here, as `lab.best` ranks them.

    python benchmarks/gpu.py [--models bert,vgg16,clip] [--budget 60] [--out DIR]

Without a GPU it makes all files that a GPU would get, checks their form and says that nothing was timed: exit code 2.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import peer_venvs
from peer_sources import SOURCES, Source, fed

import onnx_lab as lab
from onnx_lab.model import Model
from onnx_lab.recipes.best import Ranking
from onnx_lab.recipes.recipe import function
from onnx_lab.recipes.shortlist import shortlist

GPU = ("cuda", "tensorrt")


def main() -> int:
    """Print one ranking for each model and shape; 2 when no GPU provider runs here."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(SOURCES), help="comma separated (default: all)")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of timing for each shape (default 60)")
    parser.add_argument("--out", type=Path, default=peer_venvs.HOME / "gpu", help="where sources and results go")
    options = parser.parse_args()
    found = lab.doctor()
    targets = [t for t in GPU if t in found.targets]
    print(found)
    for name in options.models.split(","):
        source = SOURCES[name](options.out / name)
        m = lab.export(source.net, source.example, name=name)
        if not targets:
            checked(m, source)
            continue
        for shape in source.shapes:
            data = [fed(m, f) for f in source.calibration]
            ranking = lab.best(m, data, target=targets, budget_s=options.budget, explain=False, **shape)
            print(ranking, flush=True)
            record(ranking, options.out / f"{name}-{'x'.join(map(str, shape.values()))}.json")
    if not targets:
        print("nothing was timed: no GPU provider runs here")
    return 0 if targets else 2


def checked(m: Model, source: Source) -> None:
    """Make every file of the GPU's short list; those in 8 bits have to be symmetric, or TensorRT refuses them."""
    import numpy as np
    import onnx_ir as ir

    calibration = [fed(m, f) for f in source.calibration]
    for pick in shortlist(m, [lab.Target(t) for t in GPU], calibrated=True):
        made = m
        for i, (verb, options) in enumerate(pick.steps):
            data = {"data": calibration} if pick.calibrated and i == len(pick.steps) - 1 else {}
            made = function(verb)(made, **options, **data)
        for node in made.to_ir().graph:
            if node.op_type == "QuantizeLinear" and len(node.inputs) > 2 and node.inputs[2] is not None:
                zero = ir.convenience.get_const_tensor(node.inputs[2])
                if zero is None or zero.dtype.name != "INT8" or np.any(zero.numpy()):
                    raise SystemExit(f"{pick.name}: {node.name} is not symmetric")
        print(f"{pick.name} for {pick.target}: {made.size_bytes / 1e6:.1f} MB, {made.header.nodes} nodes", flush=True)


def record(ranking: Ranking, path: Path) -> None:
    """Everything that was measured, as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"ranking": json.loads(ranking.to_json()), "benchmark": json.loads(ranking.speed.to_json())}
    path.write_text(json.dumps(value, indent=1))


if __name__ == "__main__":
    sys.exit(main())
