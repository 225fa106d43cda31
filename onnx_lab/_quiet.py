"""Keep a library's chatter from the user, and keep it for the error message should the library fail.

Exporters and optimizers print progress with emojis, warn about their own internals and log at WARNING what the caller
cannot act on. `quiet` holds all of it back for the length of one call, for named loggers only, and for the thread that
calls: what the user's cell prints beside it is seen.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeVar, cast

from onnx_lab._by_thread import held
from onnx_lab._stand_ins import Hold

_T = TypeVar("_T")


@dataclass
class Heard:
    """What was held back.

    Attributes
    ----------
    warnings : list of warnings.WarningMessage
        In the order in which they came.
    stream : io.StringIO
        What was printed and logged.
    """

    warnings: list[warnings.WarningMessage] = field(default_factory=list)
    stream: io.StringIO = field(default_factory=io.StringIO)

    @property
    def text(self) -> str:
        """Everything that was printed and logged."""
        return self.stream.getvalue()


@contextlib.contextmanager
def quiet(*loggers: str, descriptors: bool = False) -> Iterator[Heard]:
    """Hold back what this thread prints and warns of, and what loggers of these names (and those below them) say in it.

    Parameters
    ----------
    loggers : str
        For instance ``"torch"``, ``"onnxscript"``.
    descriptors : bool, default False
        Also what C++ writes to stdout and stderr, of the whole process: for the few calls that need it.

    Examples
    --------
    >>> with quiet("noisy") as heard:
    ...     print("progress 100 % done")
    ...     logging.getLogger("noisy.part").warning("look at me")
    >>> heard.text.splitlines()
    ['progress 100 % done', 'look at me']
    """
    heard = Heard()
    with contextlib.ExitStack() as stack:
        if descriptors:  # left last: what is read then belongs to what was heard
            stack.enter_context(_heard_descriptors(heard.stream))
        stack.enter_context(held(Hold(heard.stream, heard.warnings, loggers)))
        yield heard


@contextlib.contextmanager
def without_progress(*loggers: str) -> Iterator[None]:
    """Warnings only from these loggers: some libraries (Paddle) set the root logger to INFO for the whole process."""
    with contextlib.ExitStack() as stack:
        for name in loggers:
            stack.enter_context(_shared(f"level of {name}", functools.partial(_warnings_only, name)))
        yield


@contextlib.contextmanager
def without_loading_bars() -> Iterator[None]:
    """No "Loading weights" bar of transformers: in a notebook it stays behind as a dead widget. Downloads keep bars."""
    with _shared("loading bars", _no_loading_bars):
        yield


@contextlib.contextmanager
def _warnings_only(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    if logger.level:
        yield
        return
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def _no_loading_bars() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as bars

    if not bars.is_progress_bar_enabled():
        yield
        return
    downloads_silent = are_progress_bars_disabled()
    bars.disable_progress_bar()
    if not downloads_silent:
        enable_progress_bars()
    try:
        yield
    finally:
        bars.enable_progress_bar()
        if downloads_silent:
            disable_progress_bars()


@contextlib.contextmanager
def _heard_descriptors(stream: io.StringIO) -> Iterator[None]:
    """What comes meanwhile through descriptors 1 and 2, of whichever thread: C++ does not tell."""
    with _shared("descriptors", _redirected_descriptors) as file:
        start = os.fstat(file.fileno()).st_size
        try:
            yield
        finally:
            with _lock:
                file.seek(start)
                stream.write(file.read().decode(errors="replace"))


@contextlib.contextmanager
def _redirected_descriptors() -> Iterator[BinaryIO]:
    # appended to, for who leaves first reads from elsewhere in it
    with tempfile.TemporaryFile("a+b", buffering=0) as file:
        saved = [os.dup(fd) for fd in (1, 2)]
        try:
            for fd in (1, 2):
                os.dup2(file.fileno(), fd)
            yield cast("BinaryIO", file)
        finally:
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)


# -- changes of the whole process ---------------------------------------------------------------------------------

_lock = threading.RLock()


@dataclass
class _Change:
    """A change that is in force, how to undo it, and for whom it is."""

    value: Any
    undo: contextlib.ExitStack
    users: set[object] = field(default_factory=set)


_changes: dict[str, _Change] = {}


@contextlib.contextmanager
def _shared(name: str, change: Callable[[], contextlib.AbstractContextManager[_T]]) -> Iterator[_T]:
    """Within `change`, which the first of several threads makes and the last undoes, whichever that is."""
    user = object()
    try:
        with _lock:
            if name not in _changes:
                undo = contextlib.ExitStack()
                _changes[name] = _Change(undo.enter_context(change()), undo)
            _changes[name].users.add(user)
        yield _changes[name].value
    finally:
        with _lock:
            if made := _changes.get(name):
                made.users.discard(user)
                if not made.users:
                    del _changes[name]
                    made.undo.close()
