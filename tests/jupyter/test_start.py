"""``make lab`` serves on loopback, prints one address, and asks nothing of the network."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from onnx_lab.jupyter import start

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_without_a_display_it_serves_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not start.has_display()
    monkeypatch.setenv("DISPLAY", ":0")
    assert start.has_display()


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        taken = s.getsockname()[1]
        assert start.free_port(taken) != taken


@pytest.mark.slow
def test_it_prints_an_address_that_answers() -> None:
    args = [sys.executable, "-m", "onnx_lab.jupyter.start", str(NOTEBOOKS), "--allow-root"]
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    server = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    try:
        assert server.stdout
        url = re.search(r"http://127\.0\.0\.1:\d+/\S+", server.stdout.readline())
        assert url
        for _ in range(120):
            try:
                with urllib.request.urlopen(url[0], timeout=5) as page:
                    assert page.status == 200
                    assert b"JupyterLab" in page.read()
                break
            except OSError:
                time.sleep(0.5)
        else:
            pytest.fail("nothing answered at the printed address")
    finally:
        server.send_signal(signal.SIGINT)
        server.send_signal(signal.SIGINT)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
