"""Binder: what repo2docker makes of ``binder/``, and that its postBuild really runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BINDER = ROOT / "binder"
README = (ROOT / "README.md").read_text()


def pins(path: Path) -> dict[str, str]:
    """Distribution -> exact version, by normalized name."""
    found = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.MULTILINE)
    return {name.lower().replace("_", "-"): version for name, version in found}


def test_its_versions_are_those_that_are_tested() -> None:
    tested = pins(ROOT / "constraints.txt")
    tested["onnxruntime"] = tested["onnxruntime-gpu"]  # the same engine, built for the CPU
    wanted = pins(BINDER / "requirements.txt")
    assert wanted
    assert {n: v for n, v in wanted.items() if tested.get(n) != v} == {}


def test_neither_tensorflow_nor_the_package_itself_is_in_the_cached_layer() -> None:
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    assert not [line for line in lines if re.match(r"tensorflow|paddle|onnxruntime-gpu|onnx-lab|\.", line)]


def test_launch_links_open_notebooks_of_this_repository() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    repository = project["urls"]["Source"].removeprefix("https://github.com/")
    links = re.findall(r"https://mybinder\.org/v2/gh/([\w-]+/[\w-]+)/HEAD\?urlpath=lab/tree/([^)]+)", README)
    assert len(links) >= 4
    assert {owner for owner, _ in links} == {repository}
    assert [path for _, path in links if not (ROOT / path).is_file()] == []


@pytest.mark.slow
def test_repo2docker_takes_it() -> None:
    command = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said = done.stdout + done.stderr
    for expected in ("binder/requirements.txt", "binder/postBuild", "binder/start"):
        assert expected in said, said[-2000:]


@pytest.mark.slow
def test_post_build_runs_in_a_clean_environment(tmp_path: Path) -> None:
    """A new venv that sees the requirements of this one, but not the package: postBuild has to install it."""
    home, place = tmp_path / "home", tmp_path / "venv"
    home.mkdir()
    checkout = tmp_path / "checkout"
    ignored = shutil.ignore_patterns(".venv", ".git", "artifacts", "__pycache__")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    venv.create(place, with_pip=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(place)}))
    (packages / "requirements.pth").write_text(sysconfig.get_path("purelib") + "\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ONNX_LAB", "PYTHON"))}
    env = {**kept, "HOME": str(home), "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([checkout / "binder" / "postBuild"], cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split("\n")) >= 3, "it says which weights each sample uses"
    assert (packages / "onnx_lab").is_dir()
