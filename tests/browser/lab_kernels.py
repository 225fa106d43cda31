"""The ipykernels that the browser tests run on: two older ones in folders of their own, and the one installed here.

Where a widget's callback runs, and which cell a thread's output lands in, differs between them. An older one is put
into a folder once, without its dependencies, and its kernel finds that folder before this environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import onnx_lab

#: What each older kernel needs that this environment does not have in the right version.
OLDER = {
    "6.31": ("ipykernel==6.31.0", "nest-asyncio==1.6.0"),
    "7.3": ("ipykernel==7.3.0", "nest-asyncio2==1.7.4"),
}
NEWEST = "newest"  #: what this environment has
ALL = (*OLDER, NEWEST)


def python_path(*first: str) -> str:
    """``PYTHONPATH`` by which a child imports the onnx_lab that is tested, installed or not, behind `first`."""
    source = str(Path(onnx_lab.__file__).parents[1])
    return os.pathsep.join(filter(None, [*first, source, os.environ.get("PYTHONPATH")]))


class NoKernel(Exception):
    """An older kernel could not be had; says what to do."""


def install(version: str, cache: Path) -> Path:
    """The folder that holds an older ipykernel; fills it the first time.

    Parameters
    ----------
    version : str
        A key of `OLDER`.
    cache : Path
        Where the folders lie; two test processes may fill it at the same time.

    Raises
    ------
    NoKernel
        When pip cannot get it.
    """
    place = cache / version
    if place.exists():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f"{version}-", dir=cache))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(fresh), *OLDER[version]]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode:
        shutil.rmtree(fresh, ignore_errors=True)
        needed = " ".join(OLDER[version])
        raise NoKernel(
            f"the browser tests need {needed} in {place}, and pip could not get it: {said.stderr.strip()[-300:]}\n"
            f"  try: with a package index, {sys.executable} -m pip install --no-deps --target {place} {needed}"
        )
    try:
        fresh.rename(place)
    except OSError:  # the other process was first
        shutil.rmtree(fresh, ignore_errors=True)
    return place


def write_kernelspec(version: str, jupyter_path: Path, cache: Path) -> str:
    """Make a kernel known to the server that looks in `jupyter_path`; returns the name of its spec.

    Raises
    ------
    NoKernel
        As `install`.
    """
    first = [] if version == NEWEST else [str(install(version, cache))]
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": f"ipykernel {version}",
        "language": "python",
        "env": {"PYTHONPATH": python_path(*first)},
    }
    name = f"ipykernel-{version}"
    folder = jupyter_path / "kernels" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    return name
