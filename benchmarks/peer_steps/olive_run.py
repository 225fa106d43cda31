"""Olive: `olive run` on the configuration of its BERT example: conversion, transformer optimization, int8, 4 bits."""

import json
import os
import subprocess
import sys
from pathlib import Path

from _told import folders, told

source, out = folders()
environment = {**os.environ, "OLIVE_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
olive = Path(sys.executable).parent / "olive"
fused = {"type": "OrtTransformersOptimization", "model_type": "bert"}
recipes = {
    "Olive, conversion and optimization": ("exact", {"optimize": fused}),
    "Olive, optimization, dynamic int8": ("int8", {"optimize": fused, "quantize": {"type": "OnnxDynamicQuantization"}}),
    "Olive, dynamic int8": ("int8", {"quantize": {"type": "OnnxDynamicQuantization"}}),
    "Olive, 4 bits": ("int4", {"quantize": {"type": "OnnxBlockWiseRtnQuantization"}}),
}
made = []
for i, (name, (kind, passes)) in enumerate(recipes.items()):
    folder = out / str(i)
    config = {
        "input_model": {"type": "HfModel", "model_path": str(source / "hf"), "task": "text-classification"},
        "passes": {"convert": {"type": "OnnxConversion"}, **passes},
        "output_dir": str(folder),
        "cache_dir": str(out / "cache"),
        "log_severity_level": 2,
    }
    (out / f"{i}.json").write_text(json.dumps(config))
    subprocess.run([olive, "run", "--config", out / f"{i}.json"], check=True, env=environment)
    made.append((name, next(folder.rglob("*.onnx")), "onnxruntime", kind))
told(*made)
