"""optimum-cli: export with --optimize O3, and the quantizer for this CPU on a plain export."""

import subprocess
import sys
from pathlib import Path

from _told import folders, told

source, out = folders()
cli = Path(sys.executable).parent / "optimum-cli"
task = ["--task", "text-classification"]
subprocess.run([cli, "export", "onnx", "-m", source / "hf", *task, "--optimize", "O3", out / "o3"], check=True)
subprocess.run([cli, "export", "onnx", "-m", source / "hf", *task, out / "plain"], check=True)
flags = Path("/proc/cpuinfo").read_text()
kind = "--avx512_vnni" if "avx512_vnni" in flags else "--avx512" if "avx512f" in flags else "--avx2"
quantize = [cli, "onnxruntime", "quantize", "--onnx_model", out / "plain", kind, "-o", out / "int8"]
subprocess.run(quantize, check=True)
told(
    ("optimum-cli --optimize O3", out / "o3" / "model.onnx", "onnxruntime", "exact"),
    (f"optimum-cli quantize {kind}", out / "int8" / "model_quantized.onnx", "onnxruntime", "int8"),
)
