"""load: a Model from a file that is already ONNX."""

from __future__ import annotations

from pathlib import Path

from onnx_lab.model import Model
from onnx_lab.workspace import open_model


def load(path: str | Path, *, name: str | None = None) -> Model:
    """Open an ``.onnx`` file as a Model. The file stays where it is and is never edited.

    Only the graph is read; external weights are checked to be there and left alone.

    Parameters
    ----------
    path : str or Path
        The file.
    name : str, optional
        Short name for tables and plots. Default: the file's stem.

    Raises
    ------
    BadModel
        The file is missing, empty, cut off, not ONNX, of an unknown opset, or lacks its external data.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> lab.load(lab.samples.tiny().path).inputs[0].name
    'x'
    """
    return open_model(Path(path).expanduser(), name=name)
