from __future__ import annotations

import pytest

from onnx_lab.errors import BadInput
from onnx_lab.jupyter._words import complete_words, split


def texts(line: str) -> list[str]:
    return [w.text for w in split(line).words]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b", ["a", "b"]),
        ("'my model.onnx' \"b c\"", ["my model.onnx", "b c"]),
        ("--name='a b'", ["--name=a b"]),
        ("my\\ model.onnx", ["my model.onnx"]),
        ("C:\\models\\new.onnx", ["C:\\models\\new.onnx"]),
        ("nets['a b'] {n if x else 'q r'}", ["nets['a b']", "{n if x else 'q r'}"]),
        ("f({'a': [1, 2]}) b", ["f({'a': [1, 2]})", "b"]),
        ("net  # the first, with 'quotes", ["net"]),
        ("a#b", ["a#b"]),
        ("net;", ["net"]),
        ("net ;  # quiet", ["net"]),
        ("'it is'n't", ["it isnt"]),
        ("", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert texts(line) == words


def test_a_semicolon_is_silence_only_at_the_end_and_outside_of_quotes() -> None:
    assert split("a b;").silent
    assert not split("a; b").silent
    assert not split("'a;'").silent
    assert not split("a").silent


@pytest.mark.parametrize("line", ["'a b", 'x "y', "nets[0", "{a"])
def test_what_is_left_open_is_an_error_when_run_and_none_while_typing(line: str) -> None:
    assert split(line).words
    with pytest.raises(BadInput, match="is not closed"):
        complete_words(line)


def test_quoted_words_are_told_apart() -> None:
    assert [w.quoted for w in split("m 'm'").words] == [False, True]
