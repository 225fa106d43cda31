"""The last step before deployment: what ONNX Runtime makes of a graph at load, saved, so that loading is short.

The file belongs to one kind of CPU, one ONNX Runtime and one target; `onnx_lab.runtime.offline` guards it.
"""

from __future__ import annotations

import json

from onnx_lab import workspace
from onnx_lab.model import SESSION_KEY
from onnx_lab.produce import Made, write_ir
from onnx_lab.runtime.offline import LOAD_AS_IS, OFFLINE_KEY, conditions, load_seconds, save_optimized
from onnx_lab.runtime.target import Target
from onnx_lab.transforms._carry import carry_metadata
from onnx_lab.transforms._counts import count_nodes


def freeze(made: Made, target: Target) -> Made:
    """`made` as ONNX Runtime optimizes it for `target`, with the guard, and with the load times in its notes.

    Raises
    ------
    ProviderError
        When the target does not run here.
    """
    import onnx_ir as ir

    hints = json.loads(made.metadata.get(SESSION_KEY) or made.graph.metadata_props.get(SESSION_KEY, "{}"))
    with workspace.scratch() as folder:
        before, after = folder / "before.onnx", folder / "after.onnx"
        write_ir(made.graph, before)
        save_optimized(before, target, hints, after)
        seconds = {"before": load_seconds(before, target, hints), "after": load_seconds(after, target, LOAD_AS_IS)}
        graph = carry_metadata(made.graph, ir.load(after))
        ir.external_data.load_to_model(graph)  # the folder goes
    say = [
        *made.notes.get("say", []),
        f"ONNX Runtime's own optimization is in the file: {count_nodes(graph).nodes} nodes",
        f"a session opens in {seconds['after'] * 1e3:.0f} ms, before in {seconds['before'] * 1e3:.0f} ms",
        "it loads only on this kind of CPU, with this onnxruntime, on " + str(target),
    ]
    notes = {**made.notes, "load_seconds": seconds, "say": say}
    guard = {OFFLINE_KEY: json.dumps(conditions(target)), SESSION_KEY: json.dumps(LOAD_AS_IS)}
    return Made(graph, notes, {**made.metadata, **guard})
