from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from onnx_lab import samples
from onnx_lab.errors import BadInput, BadModel
from onnx_lab.jupyter._names import Names
from onnx_lab.jupyter._parse import Call, parse
from onnx_lab.jupyter._signature import read
from onnx_lab.model import Model
from onnx_lab.runtime.target import Target

if TYPE_CHECKING:
    import torch


class Module:
    """Stands for torch.nn.Module."""


class Sample:
    def __init__(self, model: Any) -> None:
        self.model = model


def change(
    m: Model,
    *,
    way: Literal["left", "right"] = "left",
    batch: int | Sequence[int] = 1,
    skip: Sequence[str] = (),
    keep_io: bool = True,
    axes: bool | Mapping[str, str] | None = None,
    target: str | Target | None = None,
    data: Sequence[dict[str, int]] | None = None,
    limit: float | None = None,
    name: str | None = None,
) -> None: ...


def several(things: Sequence[Model | torch.nn.Module], *, against: Any = None) -> None:
    """Several.

    Parameters
    ----------
    against : str or a thing
    """


def take(obj: torch.nn.Module | str | Path, example: dict[str, int] | None = None) -> None: ...


def ask(m: Model, feeds: dict[str, int] | str | Sequence[str]) -> None: ...


@pytest.fixture
def names() -> Names:
    m, net = samples.tiny(), Module()
    things = {"m": m, "net": net, "nets": [m, m], "by": {"a b": m}, "bert": Sample(net), "calib": [{"x": 1}]}
    return Names(things, {"n": 4, "opts": "--batch 1,2 --name x", "path": m.path, "feeds": {"x": 1}, "cuda": Target()})


def go(function: Any, line: str, names: Names) -> Call:
    return parse("%verb", read(function), line, names)


def value(option: str, line: str, names: Names) -> Any:
    return go(change, "m " + line, names).arguments[option]


def test_objects_by_name_attribute_item_expression_and_path(names: Names) -> None:
    m = names.scope["m"]
    for word in ("m", "nets[1]", "by['a b']", "{nets[0]}", "$m", "path", str(m.path), f"'{m.path}'", "{path}"):
        assert go(change, word, names).arguments["m"].path == m.path, word
    assert go(take, "bert.model", names).arguments["obj"] is names.scope["net"]


def test_a_path_with_spaces(names: Names, tmp_path: Path) -> None:
    copy = names.scope["m"].save(tmp_path / "my model.onnx")
    names.scope["folder"] = tmp_path
    for word in (f"'{copy}'", str(copy).replace(" ", "\\ "), "'{folder}/my model.onnx'"):
        assert go(change, word, names).arguments["m"].path == copy


def test_options_by_kind(names: Names) -> None:
    assert value("way", "--way right", names) == "right"
    assert value("batch", "--batch 8", names) == 8
    assert value("batch", "--batch 1,8 --batch 16", names) == [1, 8, 16]
    assert value("batch", "--batch {n}", names) == 4
    assert value("batch", "--batch {'1,8'}", names) == [1, 8]
    assert value("skip", "--skip a,b", names) == ["a", "b"]
    assert value("skip", "--skip a", names) == ["a"]
    assert value("skip", "--skip 'a,b'", names) == ["a,b"]
    assert value("keep_io", "--no-keep-io", names) is False
    assert value("keep_io", "--keep_io", names) is True
    assert value("axes", "--axes", names) is True
    assert value("axes", "--axes={'x': 'batch'}", names) == {"x": "batch"}
    assert value("target", "--target openvino", names) == "openvino"
    assert value("target", "--target cuda", names) is names.scope["cuda"]
    assert value("data", "--data calib", names) is names.scope["calib"]
    assert value("limit", "--limit=1e-3", names) == 1e-3
    assert value("limit", "--limit none", names) is None
    assert value("limit", "--limit -2", names) == -2
    assert value("name", "--name m", names) == "m", "text options take text, not the object of that name"


def test_an_expression_may_stand_for_options(names: Names) -> None:
    assert go(change, "m {opts}", names).arguments == {"m": names.scope["m"], "batch": [1, 2], "name": "x"}


def test_many_things(names: Names) -> None:
    m, net = names.scope["m"], names.scope["net"]
    assert go(several, "m net", names).arguments["things"] == [m, net]
    assert go(several, "m, net", names).arguments["things"] == [m, net]
    assert go(several, "nets", names).arguments["things"] == [m, m]
    assert go(several, "m --against net", names).arguments["against"] is net
    assert go(several, "m --against other", names).arguments["against"] == "other"


def test_text_and_objects_side_by_side(names: Names) -> None:
    assert go(ask, "m 'hello world'", names).arguments["feeds"] == "hello world"
    assert go(ask, "m 'one' 'two'", names).arguments["feeds"] == ["one", "two"]
    assert go(ask, "m feeds", names).arguments["feeds"] == {"x": 1}
    assert go(ask, "m 'braces {like these} stay'", names).arguments["feeds"] == "braces {like these} stay"
    assert go(take, "bert-base-uncased", names).arguments["obj"] == "bert-base-uncased"


def test_help_code_and_silence(names: Names) -> None:
    assert go(change, "-h", names).help
    assert go(change, "m --help", names).help
    assert go(change, "m --code", names).code
    assert go(change, "m;  # quiet", names).silent


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "needs m"),
        ("m m", "one word too many"),
        ("mm", "did you mean 'm'"),
        ("m --wya left", "did you mean '--way'"),
        ("m --way lfet", "did you mean 'left'"),
        ("m --batch x", "a whole number"),
        ("m --batch", "needs a value"),
        ("m -x", "has no option -x"),
        ("net", "net is a Module"),
        ("bert", "a Sample"),
        ("nets[9]", "IndexError"),
        ("m.pth", "did you mean 'path'"),
        ("{mm}", "did you mean 'm'"),
        ("x{m}y", "inside a longer word"),
    ],
)
def test_what_is_wrong_is_said(line: str, told: str, names: Names) -> None:
    with pytest.raises(BadInput) as e:
        go(change, line, names)
    assert told in str(e.value)


def test_a_name_that_holds_what_is_wanted_is_pointed_to(names: Names) -> None:
    with pytest.raises(BadInput, match=r"bert\.model, which it holds"):
        go(several, "bert", names)


def test_a_mistyped_module_is_not_taken_for_a_hub_name(names: Names) -> None:
    with pytest.raises(BadInput, match="did you mean 'net'"):
        go(take, "nett", names)


def test_a_missing_file_is_told_as_such(names: Names) -> None:
    with pytest.raises(BadModel, match="no file"):
        go(change, "not-there.onnx", names)
