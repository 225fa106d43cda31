"""quiet: what one thread says is held back, others are heard; afterwards all is as it was, whoever leaves first."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from onnx_lab import _quiet
from onnx_lab._quiet import Heard, quiet, without_progress

NOISY = logging.getLogger("noisy")
PART = logging.getLogger("noisy.part")


def state() -> tuple[Any, ...]:
    """What `quiet` must leave as it was; objects are compared by identity."""
    loggers = [(id(x.handlers), tuple(x.handlers), x.propagate, x.level) for x in (NOISY, PART, logging.root)]
    warned = (id(warnings.filters), tuple(warnings.filters), warnings.showwarning)
    return (sys.stdout, sys.stderr, *warned, *loggers, logging.Logger.callHandlers, threading.Thread.start)


def own_stream(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A sys.stdout of the test's own; no fixture, for pytest puts its own stream back before the test begins."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def say(who: str) -> None:
    """A print, a line to stderr, a warning and a log line."""
    print(f"print of {who}")
    print(f"error of {who}", file=sys.stderr)
    warnings.warn(f"warning of {who}", stacklevel=1)
    PART.warning("log of %s", who)


def words(heard: Heard) -> list[str]:
    """Whose words they are, in order."""
    return [*heard.text.splitlines(), *(str(w.message) for w in heard.warnings)]


def all_of(who: str) -> list[str]:
    return [f"{kind} of {who}" for kind in ("print", "error", "log", "warning")]


class Other:
    """Another thread, in `quiet` from `enter` to `leave`, which says something when it is told to."""

    def __init__(self, who: str, **options: Any) -> None:
        self._asked: list[Callable[[], Any] | None] = []
        self._turn, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self.heard, self._who, self._options = Heard(), who, options
        self._thread = threading.Thread(target=self._work, daemon=True)

    def _work(self) -> None:
        with quiet("noisy", **self._options) as self.heard:
            self._done.release()
            while self._turn.acquire() and (do := self._asked.pop()) is not None:
                do()
                self._done.release()
        self._done.release()

    def _tell(self, do: Callable[[], Any] | None) -> None:
        self._asked.append(do)
        self._turn.release()
        assert self._done.acquire(timeout=10)

    def enter(self) -> Other:
        self._thread.start()
        assert self._done.acquire(timeout=10)
        return self

    def says(self, do: Callable[[], Any] | None = None) -> None:
        self._tell(do or (lambda: say(self._who)))

    def leave(self) -> None:
        self._tell(None)
        self._thread.join(10)


@pytest.mark.parametrize("first", [0, 1])
def test_threads_that_overlap_leave_all_as_it_was(first: int) -> None:
    before = state()
    both = [Other("a").enter(), Other("b").enter()]
    for other in both:
        other.says()
    both[first].leave()
    both[1 - first].says()
    both[1 - first].leave()
    assert state() == before
    assert words(both[first].heard) == all_of("ab"[first])
    kept = both[1 - first].heard
    assert sorted(words(kept)) == sorted(2 * all_of("ab"[1 - first]))


def test_what_another_thread_says_is_seen(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    seen = own_stream(monkeypatch)
    other = Other("job").enter()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        say("cell")
    assert seen.getvalue() == "print of cell\n"
    assert [str(w.message) for w in warned] == ["warning of cell"]
    assert caplog.messages == ["log of cell"]
    other.says()
    other.leave()
    assert seen.getvalue() == "print of cell\n"
    assert caplog.messages == ["log of cell"]
    assert words(other.heard) == all_of("job")


def test_filters_of_others_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    own_stream(monkeypatch)
    other = Other("job").enter()
    with pytest.warns(match="of cell"):
        say("cell")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="of cell"):
            say("cell")
        warnings.simplefilter("ignore")
        say("cell")
    other.says()
    other.leave()
    assert words(other.heard) == all_of("job")


def test_a_stream_is_whole_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = own_stream(monkeypatch)
    other = Other("job").enter()
    mine: Any = sys.stdout
    theirs: list[Any] = []
    assert mine is not seen
    assert mine.newlines is seen.newlines
    assert isinstance(mine, io.StringIO)
    assert mine.tell() == seen.tell()
    other.says(lambda: theirs.append((mine.isatty(), mine.getvalue())))
    other.leave()
    assert theirs == [(False, "")]
    mine.write("late")  # who kept it reaches what it stood before
    mine.flush()
    assert seen.getvalue() == "late"


def test_a_wrapped_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython wraps the `write` of whatever is sys.stdout when a cell begins, and puts it back when the cell ends."""
    seen, copied = own_stream(monkeypatch), io.StringIO()
    other = Other("job").enter()
    stream: Any = sys.stdout
    original = stream.write
    stream.write = lambda text: (copied.write(text), original(text))
    print("cell", end="")
    stream.write = original
    print(" goes on", end="")
    other.leave()
    print(" after it", end="")
    assert (copied.getvalue(), seen.getvalue()) == ("cell", "cell goes on after it")


def test_blocks_in_one_thread_lie_in_each_other() -> None:
    with quiet("noisy") as outer:
        say("outer")
        with quiet() as inner:
            say("inner")
        say("outer")
    assert words(inner) == ["print of inner", "error of inner", "warning of inner"]
    assert words(outer).count("log of inner") == 1
    assert words(outer).count("print of outer") == 2


def test_an_exception_leaves_all_as_it_was() -> None:
    before = state()
    other = Other("a").enter()
    with pytest.raises(ZeroDivisionError), quiet("noisy"):
        print(1 / 0)
    other.leave()
    assert state() == before


def test_threads_that_it_starts_are_held_back_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = own_stream(monkeypatch)
    go = threading.Event()

    def child() -> None:
        print("child, in time")
        go.wait(10)
        print("child, late")

    thread = threading.Thread(target=child)
    with quiet() as heard:
        thread.start()
        while "in time" not in heard.text:
            time.sleep(0.001)
    go.set()
    thread.join()
    assert heard.text == "child, in time\n"
    assert seen.getvalue() == "child, late\n"


def test_what_a_library_sets_meanwhile_is_undone() -> None:
    new = logging.getLogger("noisy.made_inside")
    before = state()
    with quiet("noisy", "root") as heard:
        warnings.simplefilter("ignore", ResourceWarning)
        NOISY.addHandler(logging.NullHandler())
        NOISY.propagate = False
        logging.warning("by the root logger")
        new.warning("by a new one")
    assert state() == before
    assert heard.text.splitlines() == ["by the root logger", "by a new one"]


@pytest.mark.parametrize("cell_ends_first", [True, False])
def test_a_captured_cell_beside_it(monkeypatch: pytest.MonkeyPatch, *, cell_ends_first: bool) -> None:
    """``%%capture`` puts back the stream that it found: a stand-in, which then leaves by itself."""
    seen = own_stream(monkeypatch)
    other = Other("job").enter()
    with contextlib.ExitStack() as cell:
        captured = cell.enter_context(contextlib.redirect_stdout(io.StringIO()))
        print("captured")
        if cell_ends_first:
            cell.close()
        other.leave()
    print("seen")
    assert captured.getvalue() == "captured\n"
    assert seen.getvalue() == "seen\n"
    assert sys.stdout is seen


def test_a_block_that_begins_in_a_captured_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = own_stream(monkeypatch)
    with contextlib.redirect_stdout(io.StringIO()) as captured:
        other = Other("job").enter()
        print("captured")
    assert sys.stdout is seen
    with quiet() as heard:
        print("kept")
    assert heard.text == "kept\n"
    other.leave()
    print("seen")
    assert (captured.getvalue(), seen.getvalue()) == ("captured\n", "seen\n")
    assert sys.stdout is seen


def test_somebodys_catch_warnings_begins_in_it_and_ends_after_it() -> None:
    before = state()
    other = Other("job").enter()
    with warnings.catch_warnings():
        other.leave()
    warnings.warn_explicit("seen", UserWarning, "a.py", 1)  # the stand-in that was put back leaves
    assert state() == before


def test_descriptors_of_blocks_that_overlap(capfd: pytest.CaptureFixture[str]) -> None:
    other = Other("job", descriptors=True).enter()
    os.write(1, b"one\n")
    with quiet(descriptors=True) as mine:
        os.write(2, b"two\n")
        other.leave()
        os.write(1, b"three\n")
    os.write(1, b"four\n")
    assert other.heard.text.split() == ["one", "two"]
    assert mine.text.split() == ["two", "three"]
    assert capfd.readouterr() == ("four\n", "")


def test_progress_comes_back_when_the_last_has_left() -> None:
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(without_progress("noisy"))
        second.enter_context(without_progress("noisy"))
        first.close()
        assert NOISY.level == logging.WARNING
    assert NOISY.level == logging.NOTSET
    assert not _quiet._changes


def test_many_threads_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = own_stream(monkeypatch)
    before = state()

    def work(who: str) -> None:
        for _ in range(40):
            with quiet("noisy", descriptors=True) as heard:
                say(who)
            assert words(heard) == all_of(who)
            print(who)

    threads = [threading.Thread(target=work, args=(f"thread {i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert state() == before
    assert sorted(seen.getvalue().split("\n")[:-1]) == sorted(40 * [f"thread {i}" for i in range(6)])
