"""What a page says and asks for: requests that leave loopback, console errors, bytes between kernel and page."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import ConsoleMessage, Page, Request, WebSocket

#: Errors of JupyterLab's own that mean nothing for us, each with its reason.
HARMLESS: tuple[tuple[str, str], ...] = ()


@dataclass
class Watch:
    """Everything noted of one page.

    Attributes
    ----------
    outside : list of str
        Addresses asked for that are not on loopback.
    errors : list of str
        Console errors and uncaught exceptions, without those in `HARMLESS`.
    bytes_in, bytes_out : int
        Of all messages between the page and its kernels.
    """

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    bytes_in: int = 0
    bytes_out: int = 0

    def follow(self, page: Page) -> None:
        """Note what this page does from now on."""
        page.on("request", self._request)
        page.on("console", self._console)
        page.on("pageerror", lambda e: self._error(f"uncaught: {e}"))
        page.on("websocket", self._socket)

    def _request(self, request: Request) -> None:
        self._address(request.url)

    def _address(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob", "about") and parts.hostname not in ("127.0.0.1", "localhost"):
            self.outside.append(url[:200])

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            where = message.location.get("url", "")
            self._error(f"{message.text[:500]} ({where})" if where else message.text[:500])

    def _error(self, text: str) -> None:
        if not any(re.search(pattern, text) for pattern, _ in HARMLESS):
            self.errors.append(text)

    def _socket(self, socket: WebSocket) -> None:
        self._address(socket.url)
        if "/api/kernels/" not in socket.url:
            return

        def came(payload: str | bytes) -> None:
            self.bytes_in += len(payload)

        def went(payload: str | bytes) -> None:
            self.bytes_out += len(payload)

        socket.on("framereceived", came)
        socket.on("framesent", went)

    def verdict(self) -> list[str]:
        """What was wrong, in sentences; empty when nothing was."""
        return [f"left loopback: {url}" for url in dict.fromkeys(self.outside)] + [
            f"console error: {text}" for text in dict.fromkeys(self.errors)
        ]
