"""``make lab``: JupyterLab on the notebooks, the quickstart in front, one line with the address."""

from __future__ import annotations

import argparse
import importlib.util
import os
import secrets
import socket
import sys
from pathlib import Path

from onnx_lab.errors import missing


def command(folder: Path, *, port: int, token: str, browser: bool, allow_root: bool) -> list[str]:
    """The command line that serves `folder` on loopback.

    News and update checks are off: nothing leaves the machine unasked.

    Examples
    --------
    >>> "--no-browser" in command(Path("notebooks"), port=8888, token="t", browser=False, allow_root=False)
    True
    """
    args = [
        *(sys.executable, "-m", "jupyterlab", str(folder / "00_quickstart.ipynb")),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0"),
        *(f"--IdentityProvider.token={token}", "--log-level=ERROR"),
        *("--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"),
    ]
    return args + ["--no-browser"] * (not browser) + ["--allow-root"] * allow_root


def has_display() -> bool:
    """Whether a browser window could open here."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def free_port(first: int = 8888) -> int:
    """The first free loopback port from `first` on. Raises OSError when a hundred of them are taken."""
    for port in range(first, first + 100):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"ports {first} to {first + 99} are all in use")


def serve(folder: Path, *, allow_root: bool) -> None:
    """Print the address and become the server of `folder`, until Ctrl-C.

    Raises
    ------
    MissingExtra
        Without JupyterLab.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise missing("jupyterlab", "lab")
    port, token = free_port(), secrets.token_hex(16)
    print(f"JupyterLab: http://127.0.0.1:{port}/lab/tree/00_quickstart.ipynb?token={token}")
    print("Ctrl-C stops it.", flush=True)
    run = command(folder, port=port, token=token, browser=has_display(), allow_root=allow_root)
    os.execv(run[0], run)


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="onnx_lab.jupyter.start", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the notebooks")
    parser.add_argument("--allow-root", action="store_true", help="serve although the user is root")
    args = parser.parse_args()
    serve(args.folder, allow_root=args.allow_root)


if __name__ == "__main__":
    main()
