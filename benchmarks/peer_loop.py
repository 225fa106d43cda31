"""A rival's timing loop: a script that knows nothing of the lab and runs in the rival's own environment.

    python peer_loop.py ENGINE FILE FEEDS_FOLDER THREADS

It reads one JSON object per line: a block to time (the seconds of each run come back), or a folder to write answers to.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np


def main():
    """Open the engine, then serve blocks until the pipe is closed."""
    engine, file, folder, threads = sys.argv[1:]
    feeds = [dict(np.load(p)) for p in sorted(Path(folder).glob("*.npz"))]
    run = ENGINES[engine](file, int(threads))
    if engine == "torch_compiled":  # it compiles at the first run of a shape: a load, not a latency
        for own in feeds:
            run(own)
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        own = feeds[asked["shape"]]
        if "answers" in asked:
            np.save(asked["answers"], np.asarray(run(own)))
            print("[]", flush=True)
        else:
            print(json.dumps(block(lambda own=own: run(own), **asked)), flush=True)


def block(run, *, shape, lead_in_seconds=0.0, min_seconds=0.0, min_runs=1, max_runs=10**9, loops=1, **_):
    """Seconds of each run, after runs that are not timed."""
    del shape
    end = time.perf_counter() + lead_in_seconds
    while time.perf_counter() < end:
        run()
    taken, end = [], time.perf_counter() + min_seconds
    while (time.perf_counter() < end or len(taken) < min_runs) and len(taken) < max_runs:
        start = time.perf_counter()
        for _ in range(loops):
            run()
        taken.append((time.perf_counter() - start) / loops)
    return taken


def onnxruntime(file, threads):
    """An ``.onnx`` file on ONNX Runtime's CPU provider."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    takes = {i.name for i in session.get_inputs()}
    return lambda feeds: session.run(None, {k: v for k, v in feeds.items() if k in takes})[0]


def openvino(file, threads, **options):
    """OpenVINO's own runtime on an ``.xml`` or ``.onnx`` file, at its default precision."""
    import openvino as ov

    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, **options}
    compiled = ov.Core().compile_model(file, "CPU", options)
    takes = {name for i in compiled.inputs for name in i.get_names()}
    return lambda feeds: compiled({k: v for k, v in feeds.items() if k in takes})[0]


def openvino_f32(file, threads):
    """The same, kept to float32: on a CPU with bf16 units the default is not."""
    return openvino(file, threads, INFERENCE_PRECISION_HINT="f32")


def torch_compiled(file, threads):
    """A saved module through ``torch.compile``."""
    import torch

    return _torch(torch.compile(_saved(file)), threads)


def torch_autocast(file, threads):
    """A saved module in bfloat16 autocast: fast where the CPU has bfloat16 products, slow elsewhere."""
    return _torch(_saved(file), threads, autocast=True)


def _saved(file):
    import torch

    return torch.load(file, weights_only=False).eval()  # written by peer_sources.py a moment ago


def _torch(net, threads, autocast=False):
    import torch

    torch.set_num_threads(threads)

    def run(feeds):
        values = {k: torch.from_numpy(v) for k, v in feeds.items()}
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            out = net(**values) if len(values) > 1 else net(*values.values())
        return (out if isinstance(out, torch.Tensor) else out[0]).float().numpy()

    return run


ENGINES = {f.__name__: f for f in (onnxruntime, openvino, openvino_f32, torch_compiled, torch_autocast)}

if __name__ == "__main__":
    main()
