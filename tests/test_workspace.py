"""The workspace: atomic, content-addressed, cached, shared; a full disk leaves it as it was."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

import onnx_lab as lab
from onnx_lab import workspace
from onnx_lab.errors import WorkspaceError
from onnx_lab.produce import Made, produce


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def files(home: Path) -> list[str]:
    return sorted(p.relative_to(home).as_posix() for p in home.rglob("*") if p.is_file())


def test_the_same_step_is_cached_and_says_so(home: Path) -> None:
    first = lab.samples.tiny()
    second = lab.samples.tiny()
    assert not first.cached
    assert second.cached
    assert first == second
    assert "(cached)" in str(second)


def test_other_options_make_another_file(home: Path) -> None:
    assert lab.samples.tiny(seed=1).digest != lab.samples.tiny(seed=2).digest


def test_a_file_lies_under_its_own_digest(home: Path) -> None:
    model = lab.samples.tiny()
    assert model.path.parent.name == model.digest
    assert workspace.file_digest([model.path]) == model.digest


def test_a_damaged_cache_entry_is_only_a_miss(home: Path) -> None:
    lab.samples.tiny()
    for entry in (home / "steps").glob("*.json"):
        entry.write_text("{ not json")
    assert not lab.samples.tiny().cached


def test_a_removed_model_is_made_again(home: Path) -> None:
    model = lab.samples.tiny()
    model.path.unlink()
    again = lab.samples.tiny()
    assert not again.cached
    assert again.path.exists()


def test_lineage_travels_in_the_file(home: Path, tmp_path: Path) -> None:
    model = lab.simplify(lab.samples.tiny())
    taken = lab.load(model.save(tmp_path / "mine.onnx"))
    assert [s.verb for s in taken.lineage] == ["tiny", "simplify"]
    assert taken.lineage[1].parent == lab.samples.tiny().digest


def test_a_body_that_fails_leaves_nothing(home: Path) -> None:
    def body() -> Made:
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        produce("x", {}, body, tools=[], name="x", cache_key="x")
    assert files(home) == []


@pytest.mark.parametrize("call", ["os.fsync", "os.replace", "os.rename"])
def test_a_full_disk_at_any_moment_leaves_nothing_half_written(
    home: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"onnx_lab.workspace.{call}", full)
        with pytest.raises(WorkspaceError, match="No space left"):
            lab.samples.tiny()
    assert [f for f in files(home) if not f.startswith("tmp/")] == [] or call == "os.replace"
    assert lab.samples.tiny().path.exists(), "it works again once there is room"


@pytest.mark.slow
def test_a_disk_that_is_really_too_small(home: Path) -> None:
    """The operating system itself refuses: a file-size limit in a child process."""
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
        import onnx_lab as lab
        try:
            lab.samples.tiny(features=512)
        except lab.errors.WorkspaceError as e:
            print("WorkspaceError", e)
    """
    out = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    assert "WorkspaceError" in out.stdout, out.stdout + out.stderr
    assert "free disk space" in out.stdout
    assert files(home) == []


def test_an_unwritable_home_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ONNX_LAB_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(WorkspaceError, match="ONNX_LAB_HOME"):
        lab.samples.tiny()


@pytest.mark.slow
def test_two_processes_make_the_same_thing_at_once(home: Path) -> None:
    code = "import onnx_lab as lab; print(lab.samples.tiny(features=64).digest)"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    digests = {p.communicate()[0].strip() for p in both}
    assert all(p.returncode == 0 for p in both)
    assert len(digests) == 1
    assert len(list((home / "models").iterdir())) == 1


def test_clean_removes_what_is_old_and_nothing_else(home: Path) -> None:
    old, new = lab.samples.tiny(seed=1), lab.samples.tiny(seed=2)
    past = time.time() - 90 * 86_400
    os.utime(old.path, (past, past))
    size = old.size_bytes
    assert workspace.clean(older_than_days=30) == size
    assert not old.path.exists()
    assert new.path.exists()


def test_write_json_is_atomic(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = home / "x.json"
    workspace.write_json(target, {"a": 1})
    with pytest.raises(TypeError):
        workspace.write_json(target, {"a": object()})
    assert json.loads(target.read_text()) == {"a": 1}
    assert files(home) == ["x.json"]
