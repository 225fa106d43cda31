"""``onnx-lab demo``: the notebooks are copied, what is there stays."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from onnx_lab.jupyter import demo, start

if TYPE_CHECKING:
    import pytest


def test_the_notebooks_are_copied_and_jupyterlab_opens_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Path] = []
    monkeypatch.setattr(start, "serve", lambda folder, **_: served.append(folder))
    folder = tmp_path / "new" / "demo"
    assert demo.main(["demo", str(folder)]) == 0
    assert served == [folder]
    assert [p.name for p in sorted(folder.iterdir())] == [p.name for p in demo.notebooks()]


def test_what_is_there_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / demo.notebooks()[0].name
    mine.write_text("my own work")
    assert demo.main(["demo", str(tmp_path), "--no-lab"]) == 0
    assert mine.read_text() == "my own work"
    assert "1 were there and stay" in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert demo.main(["demo", str(tmp_path / "file"), "--no-lab"]) == 1
    assert "a folder that you may write" in capsys.readouterr().err


def test_the_command_is_installed() -> None:
    done = subprocess.run([Path(sys.executable).parent / "onnx-lab", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("onnx-lab 0."), done.stderr
