"""500 broken files through every door: an error of the lab's or a result each, and nothing else happens."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mutants
import pytest

#: A Python with all that the doors import holds a quarter of this; the engine may try what a file says, up to a limit.
_MOST_MB, _MOST_ENGINE_MB = 1500, 4000


def pushed(folder: Path, first: int, last: int) -> list[dict[str, Any]]:
    """What a user's Python said of each file; it stands in a folder of its own, and next to a file not its own."""
    (folder / "files").mkdir()
    (folder / "here").mkdir()
    (folder / "files" / mutants.SECRET).write_bytes(bytes(4096))
    done = subprocess.run(
        [sys.executable, mutants.__file__, str(folder / "files"), str(first), str(last)],
        capture_output=True,
        cwd=folder / "here",
        text=True,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"Python ended with {done.returncode} at {lines[-1:]}: {done.stderr[-500:]}"
    assert not list((folder / "here").iterdir()), "something was left in the user's folder"
    return lines


@pytest.mark.parametrize("last", [42, pytest.param(500, marks=pytest.mark.slow)])
def test_a_broken_file_is_an_error_or_a_result(last: int, tmp_path: Path) -> None:
    *lines, memory = pushed(tmp_path, -1, last)
    whole, *found = [line for line in lines if "found" in line]
    assert set(whole["found"].values()) == {"ok"}, "the file itself is sound"
    assert [line["number"] for line in found] == list(range(last))
    assert {line["kind"] for line in found} == {change.__name__ for change in mutants.MUTATIONS}
    surprises = {
        (line["number"], line["kind"], door): came
        for line in found
        for door, came in line["found"].items()
        if came.startswith("!")
    }
    assert not surprises
    assert not found[-1]["touched"], "a file outside was opened, or written"
    refused = [line for line in found if set(line["found"].values()) != {"ok"}]
    assert len(refused) > last / 2, "the mutations do break files"
    assert memory["peak_mb"] < _MOST_MB
    assert memory["engine_mb"] < _MOST_ENGINE_MB


@pytest.mark.parametrize("change", [mutants.outside, mutants.absurd_weight, mutants.short_data])
def test_what_would_reach_outside_or_take_memory_is_refused_at_the_door(change: Any, tmp_path: Path) -> None:
    (tmp_path / mutants.SECRET).write_bytes(bytes(4096))
    place = mutants.MUTATIONS.index(change)
    for number in range(place, 8 * len(mutants.MUTATIONS), len(mutants.MUTATIONS)):
        _, path = mutants.make(number, tmp_path / str(number))
        assert mutants.push(path) == {"load": "BadModel"}
