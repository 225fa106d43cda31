"""The rivals' environments: each in a venv of its own, made by pip the first time, under ``artifacts/peers``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HOME = Path(__file__).parents[1] / "artifacts" / "peers"

#: What each rival's own pages say to install, and what it then needs to start at all (see the README of this folder).
WANTED: dict[str, tuple[str, ...]] = {
    "optimum": ("optimum-onnx[onnxruntime]==0.1.0",),
    "olive": ("olive-ai[cpu,auto-opt]==0.13.0", "requests", "optimum", "onnxscript"),
    "openvino": ("openvino==2026.4.1", "nncf==3.4.0", "onnx==1.23.2", "onnxruntime==1.31.1"),
    "own": (),
}


def python(venv: str) -> Path:
    """The interpreter of a venv, which is made when it is not there."""
    if venv == "own":
        return Path(sys.executable)
    folder = HOME / venv
    found = folder / "bin" / "python"
    ready, wanted = folder / ".ready", "\n".join(WANTED[venv])
    if not ready.exists() or ready.read_text() != wanted:
        print(f"making {folder.name}: {' '.join(WANTED[venv])}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--progress-bar", "off"]
        subprocess.run([*pip, *WANTED[venv]], check=True)
        ready.write_text(wanted)
    return found
