"""A real JupyterLab on loopback, with a folder, settings and a workspace of its own."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab_kernels import python_path

_START_SECONDS = 90
#: What a person's JupyterLab has otherwise: cells off the screen leave the page, files save themselves, news are asked.
_SETTINGS = {
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
}


@dataclass(frozen=True)
class LabServer:
    """A running JupyterLab.

    Attributes
    ----------
    base : str
        ``http://127.0.0.1:port``; there is no token, and only loopback is listened to.
    files : Path
        The folder that it serves.
    jupyter_path : Path
        Where kernelspecs may be added; read anew when a page is opened.
    home : Path
        The workspace (``ONNX_LAB_HOME``) of all its kernels.
    """

    base: str
    files: Path
    jupyter_path: Path
    home: Path


@contextmanager
def running(folder: Path) -> Iterator[LabServer]:
    """JupyterLab until the block ends; `folder` is its own.

    Raises
    ------
    RuntimeError
        When it does not start; with the end of its log.
    """
    for part in ("files", "jupyter", "config/labconfig", "home"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "config/labconfig/default_setting_overrides.json").write_text(json.dumps(_SETTINGS))
    last: RuntimeError | None = None
    for _ in range(3):  # between asking for a free port and using it, another process may take it
        port = _free_port()
        server = LabServer(f"http://127.0.0.1:{port}", folder / "files", folder / "jupyter", folder / "home")
        process = _start(folder, port, server)
        try:
            _wait(process, server.base, folder / "server.log")
            yield server
        except _NotUp as e:
            last = RuntimeError(str(e))
        else:
            return
        finally:
            _stop(process)
    raise last or RuntimeError("JupyterLab did not start")


class _NotUp(RuntimeError):
    pass


def _start(folder: Path, port: int, server: LabServer) -> subprocess.Popen[bytes]:
    config = folder / "config/jupyter_server_config.py"
    config.write_text(
        "from jupyterlab.galata import configure_jupyter_server\n"
        "configure_jupyter_server(c)\n"  # shows the app to the page's scripts, asks for no token
        "c.ServerApp.ip = '127.0.0.1'\n"
        f"c.ServerApp.port = {port}\n"
        f"c.ServerApp.root_dir = {str(server.files)!r}\n"
        f"c.LabApp.workspaces_dir = {str(folder / 'workspaces')!r}\n"
        f"c.LabApp.user_settings_dir = {str(folder / 'settings')!r}\n"
    )
    own = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": python_path(),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_PATH": str(server.jupyter_path),
        "JUPYTERLAB_GALATA_ROOT_DIR": str(server.files),
        "IPYTHONDIR": str(folder / "ipython"),
        "ONNX_LAB_HOME": str(server.home),
    }
    command = [sys.executable, "-m", "jupyterlab", "--config", str(config), "--allow-root", "--no-browser"]
    with (folder / "server.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own}, cwd=server.files)


def _wait(process: subprocess.Popen[bytes], base: str, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(f"{base}/api", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            if process.poll() is None:
                return
    raise _NotUp(f"JupyterLab did not start on {base}; the end of its log:\n{log.read_text()[-2000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # it ends its kernels, and they their children
    try:
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


def find_chromium() -> str | None:
    """Chromium's path: ``CHROMIUM``, or what is found on PATH."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
