"""The file in an installed Netron: a server of its own, so only when it is asked for."""

from __future__ import annotations

from onnx_lab.errors import MissingExtra
from onnx_lab.model import Model


def open_netron(m: Model) -> tuple[str, int]:
    """Start Netron on a model's file; its address.

    Raises
    ------
    MissingExtra
        Without netron.
    """
    try:
        import netron
    except ImportError:
        raise MissingExtra("'netron' is not installed", do="pip install netron") from None
    m.check_unchanged()
    host, port = netron.start(str(m.path), browse=True)
    return str(host), int(port)
