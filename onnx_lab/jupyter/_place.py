"""A place in a cell's output that can be rewritten from any thread, while other cells run, until Python ends."""

from __future__ import annotations

import contextlib
import secrets
import sys
from collections.abc import Mapping
from typing import Any


class Place:
    """Made while its cell runs; `show` puts something there, and later replaces it.

    IPython's ``display`` finds the cell by global state, which from a thread is the cell that runs now (ipykernel 6) or
    by a context variable (7). Here the message names its cell itself, so that one way holds for all kernels.

    Parameters
    ----------
    shell : InteractiveShell
    """

    def __init__(self, shell: Any) -> None:
        publisher = getattr(shell, "display_pub", None)
        known = all(getattr(publisher, name, None) is not None for name in ("session", "pub_socket", "topic"))
        self._publisher = publisher if known else None  # %%capture, and what is no kernel, have none of these
        self._cell = dict(getattr(publisher, "parent_header", None) or {})
        self._id = secrets.token_hex(16)
        self._handle: Any = None

    @property
    def shown(self) -> bool:
        """Whether something stands there."""
        return self._handle is not None

    def is_in(self, shell: Any) -> bool:
        """Whether the cell that runs now is the one this place lies in."""
        now = getattr(getattr(shell, "display_pub", None), "parent_header", None) or {}
        return bool(now) and now.get("msg_id") == self._cell.get("msg_id")

    def show(self, data: Mapping[str, Any]) -> None:
        """Show a bundle of MIME type -> content in place of what was there."""
        if self._publisher is not None:
            self._send("update_display_data" if self.shown else "display_data", data)
            self._handle = self
            return
        from IPython.display import display

        if self._handle is None:
            self._handle = display(dict(data), raw=True, display_id=True)
        else:
            self._handle.update(dict(data), raw=True)

    def end(self, data: Mapping[str, Any]) -> None:
        """Show what stays."""
        self.show(data)

    def _send(self, kind: str, data: Mapping[str, Any]) -> None:
        publisher = self._publisher
        assert publisher is not None
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):  # what was printed before comes before
                stream.flush()
        content = {"data": dict(data), "metadata": {}, "transient": {"display_id": self._id}}
        message = publisher.session.msg(kind, content, parent=self._cell)
        publisher.session.send(publisher.pub_socket, message, ident=publisher.topic)
