"""The doctor: what runs is proven, what does not says why, and each conflict comes with the command that ends it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

import onnx_lab as lab
from onnx_lab.runtime import _proof
from onnx_lab.runtime._hardware import FEATURES, memory_limit_bytes, memory_used_bytes
from onnx_lab.runtime.doctor import Conflict, Doctor, find_conflicts, kernel_advice
from onnx_lab.runtime.target import PROVIDERS


@pytest.fixture(scope="module")
def found() -> Doctor:
    return lab.doctor()


@pytest.mark.slow
def test_the_cpu_provider_is_proven(found: Doctor) -> None:
    proofs = {p.target: p for p in found.providers}
    assert proofs.keys() == PROVIDERS.keys()
    assert proofs["cpu"].runs
    assert "cpu" in found.targets
    for p in proofs.values():
        assert p.why, f"{p.target} says nothing"
        assert p.declared or not p.runs


def test_it_shows_itself(found: Doctor) -> None:
    text = str(found)
    for word in ("threads", "memory", "onnxruntime", "cpu", "runs"):
        assert word in text
    assert "<table" in found._repr_html_()
    value = json.loads(found.to_json())
    assert value["kind"] == "Doctor"
    assert value["providers"][0]["target"] == "cpu"
    assert set(value["hardware"]["features"]) <= set(FEATURES)


@pytest.mark.slow
def test_it_is_quick() -> None:
    start = time.monotonic()
    lab.doctor()
    assert time.monotonic() - start < 15, "four seconds on a quiet machine"


def test_two_engines_are_a_conflict_with_the_commands_that_end_it(found: Doctor) -> None:
    (conflict,) = find_conflicts({"onnxruntime-gpu": "1.31.1", "onnxruntime": "1.30.0"}, {})
    assert conflict.fix == "pip uninstall -y onnxruntime-gpu onnxruntime && pip install onnxruntime-gpu==1.31.1"
    ill = replace(found, conflicts=(conflict,))
    assert not ill
    assert "pip uninstall -y" in str(ill)
    assert "in the way" in str(ill)


@pytest.mark.parametrize(
    ("engines", "facts", "says"),
    [
        ({}, {}, "no onnxruntime"),
        ({"onnxruntime": "1.31.1"}, {"version": "1.29.0"}, "files in place are 1.29.0"),
        ({"onnxruntime": "1.31.1"}, {"error": "cannot be imported"}, "does not work"),
    ],
)
def test_other_conflicts(engines: dict[str, str], facts: dict[str, str], says: str) -> None:
    (conflict,) = find_conflicts(engines, facts)
    assert says in conflict.what
    assert conflict.fix.startswith("pip ")


def test_a_sound_installation_has_none() -> None:
    assert find_conflicts({"onnxruntime-gpu": "1.31.1"}, {"version": "1.31.1"}) == ()
    assert bool(Conflict("a", "b"))


def test_an_engine_that_cannot_be_asked_gives_rows_not_an_exception(monkeypatch: pytest.MonkeyPatch) -> None:
    def crashes(**_: object) -> None:
        raise lab.errors.WorkerError("importing onnxruntime: it crashed with a segmentation fault")

    monkeypatch.setattr(_proof, "engine_facts", crashes)
    found = lab.doctor()
    assert not found
    assert found.targets == ()
    assert "segmentation fault" in str(found)


def test_memory_that_can_be_dropped_is_not_used(tmp_path: Path) -> None:
    assert memory_used_bytes(tmp_path) == 0
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 400\ninactive_file 300\n")
    assert memory_used_bytes(tmp_path) == 700


def test_memory_limits_of_both_cgroup_versions(tmp_path: Path) -> None:
    assert memory_limit_bytes(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory_limit_bytes(tmp_path) is None, "v1's way to say unlimited"
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("4294967296\n")
    assert memory_limit_bytes(tmp_path) == 1 << 32
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit_bytes(tmp_path) == 1 << 32
    (tmp_path / "memory.max").write_text("2147483648\n")
    assert memory_limit_bytes(tmp_path) == 1 << 31


@pytest.mark.slow
def test_a_kernel_that_may_leave_a_cell_waiting_is_named(found: Doctor) -> None:
    (said,) = kernel_advice({"ipykernel": "7.2.0"})
    assert "ipykernel 7.2.0" in said
    assert said.endswith("pip install 'ipykernel>=7.4'")
    assert kernel_advice({"ipykernel": "6.31.0"}) == kernel_advice({}) == ()
    assert said in str(replace(found, advice=(said,)))
