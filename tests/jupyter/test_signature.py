from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union

import onnx_lab as lab
from onnx_lab.jupyter._signature import Takes, read
from onnx_lab.jupyter.magics import VERBS
from onnx_lab.model import Model

if TYPE_CHECKING:
    import nowhere_to_be_found as nowhere

Alias = Union[Model, "nowhere.nn.Module"]


class Speaker(Protocol):
    def __call__(self, text: str) -> str: ...


def verb(
    m: Model,
    other: Alias,
    net: nowhere.nn.Module | str | None,
    *more: int,
    way: Literal["left", "right"] = "left",
    sizes: int | Sequence[int] = 1,
    names: Iterable[str] = (),
    fast: bool = False,
    axes: bool | Mapping[str, str] | None = None,
    data: Sequence[dict[str, int]] | None = None,
    whatever: Any = None,
    speaker: Speaker | None = None,
    tell: Callable[[int], None] | None = None,
    ratio: float = 0.5,
    tool: str = "a",
    disable: Iterable[str] = (),
    **rest: Any,
) -> int:
    """Do ``it``.

    Thoroughly, see
    `it`.

    Parameters
    ----------
    m : Model
        The model.
    whatever : Model, or a list of them, or str
        Things.
    sizes, names : int
        Both
        of them.
    tool : {"a", "b"}, default "a"
        Which.
    disable : iterable of str
        By name: ``one``, ``two``, ``three``, ``four``.

    Returns
    -------
    int
        A number.
    """


def takes(name: str) -> Takes:
    found = read(verb).get(name)
    assert found is not None
    return found.takes


def test_annotations_are_read_without_importing_what_they_name() -> None:
    assert takes("m").objects == ("Model",)
    assert takes("other").objects == ("Model", "Module")
    assert takes("net") == Takes(objects=("Module",), text=True, none=True, one=True)


def test_kinds_of_options() -> None:
    assert takes("way").choices == ("left", "right")
    assert takes("sizes") == Takes(whole=True, many=True, one=True)
    assert takes("names").many
    assert takes("names").text
    assert not takes("names").one
    assert takes("fast").flag
    assert takes("axes").flag
    assert takes("axes").objects == ("dict",)
    assert takes("ratio").real
    assert takes("data").objects == ("sequence",)
    assert not takes("data").many
    assert takes("speaker").objects == ("~Speaker", "anything")


def test_the_docstring_adds_what_the_annotation_leaves_open() -> None:
    assert takes("whatever").expected == ("Model",)
    assert takes("whatever").many
    assert takes("whatever").text
    assert takes("tool").choices == ("a", "b")
    assert takes("disable").choices == ("one", "two", "three", "four")


def test_callbacks_and_catch_alls_are_no_options() -> None:
    names = {p.name for p in read(verb).parameters}
    assert not names & {"tell", "more", "rest"}


def test_positional_required_and_documented() -> None:
    s = read(verb)
    assert [p.name for p in s.positional] == ["m", "other", "net"]
    assert all(p.required for p in s.positional)
    assert (s.summary, s.more, s.returns) == ("Do it.", "Thoroughly, see it.", "int")
    sizes = s.get("--sizes")
    assert sizes is not None
    assert sizes.doc == "Both of them."


def test_every_magic_has_a_core_function_with_documented_options() -> None:
    for name in VERBS:
        s = read(getattr(lab, name))
        assert s.summary, name
        assert all(p.doc or p.declared for p in s.parameters), name
