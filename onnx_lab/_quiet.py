"""Keep a library's chatter from the user, and keep it for the error message should the library fail.

Exporters and optimizers print progress with emojis, warn about their own internals and log at WARNING what the caller
cannot act on. `quiet` holds all of it back for the length of one call, for named loggers only.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field


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
    """Hold back prints, warnings, and what the loggers of these names (and those below them) say.

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
        heard.warnings = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always")
        stack.enter_context(contextlib.redirect_stdout(heard.stream))
        stack.enter_context(contextlib.redirect_stderr(heard.stream))
        for name in _known(loggers):
            stack.enter_context(_redirected(name, heard.stream))
        if descriptors:
            stack.enter_context(_captured_descriptors(heard.stream))
        yield heard


@contextlib.contextmanager
def without_progress(*loggers: str) -> Iterator[None]:
    """Warnings only from these loggers: some libraries (Paddle) set the root logger to INFO for the whole process."""
    unset = [logger for name in loggers if not (logger := logging.getLogger(name)).level]
    for logger in unset:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger in unset:
            logger.setLevel(logging.NOTSET)


@contextlib.contextmanager
def without_loading_bars() -> Iterator[None]:
    """No "Loading weights" bar of transformers: in a notebook it stays behind as a dead widget. Downloads keep bars."""
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


def _known(prefixes: tuple[str, ...]) -> list[str]:
    """The named loggers and all below them that exist: some hang handlers of their own on inner loggers."""
    below = [n for n in logging.root.manager.loggerDict if n.startswith(tuple(f"{p}." for p in prefixes))]
    return [*prefixes, *below]


@contextlib.contextmanager
def _redirected(name: str, stream: io.StringIO) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.handlers, logger.propagate
    logger.handlers, logger.propagate = [logging.StreamHandler(stream)], False
    try:
        yield
    finally:
        logger.handlers, logger.propagate = before


@contextlib.contextmanager
def _captured_descriptors(stream: io.StringIO) -> Iterator[None]:
    with tempfile.TemporaryFile() as file:
        saved = [os.dup(fd) for fd in (1, 2)]
        try:
            for fd in (1, 2):
                os.dup2(file.fileno(), fd)
            yield
        finally:
            for fd, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, fd)
                os.close(copy)
            file.seek(0)
            stream.write(file.read().decode(errors="replace"))
