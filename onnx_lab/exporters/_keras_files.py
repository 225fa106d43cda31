"""``.keras`` and ``.h5`` files: what is in one, why it cannot be read, the model in it. No code of a file is run."""

from __future__ import annotations

import io
import json
import os
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnx_lab.card import megabytes
from onnx_lab.errors import BadInput, ExportError, missing
from onnx_lab.runtime.keras_models import without_tensorflow

SUFFIXES = (".keras", ".h5", ".hdf5")
_ACCEPTED = "a .keras or .h5 file as model.save() writes it"
_NO_CODE = "the lab never runs code that is stored in a file"


def check(path: Path) -> None:
    """Say what is wrong with a file that cannot be a whole Keras model, before Keras is imported.

    Raises
    ------
    BadInput
    """
    with path.open("rb") as f:
        start = f.read(8)
    if path.suffix == ".keras":
        if not zipfile.is_zipfile(path):
            also = " (it is HDF5: call it .h5)" if start.startswith(b"\x89HDF") else ""
            raise BadInput(f"{path.name} is no .keras archive{also}", accepted=_ACCEPTED, do="save or copy it again")
        with zipfile.ZipFile(path) as archive:
            if absent := {"config.json", "model.weights.h5"} - set(archive.namelist()):
                raise BadInput(f"{path.name} lacks {', '.join(sorted(absent))}", accepted=_ACCEPTED)
        return
    if not start.startswith(b"\x89HDF"):
        raise BadInput(
            f"{path.name} is no HDF5 file" + (", but a pickle" if start[:1] == b"\x80" else ""),
            accepted=_ACCEPTED,
            do="a pickled model is never opened: load it where it was made, and model.save('x.keras')",
        )
    with _opened(path) as file:
        if "model_config" not in file.attrs:
            raise BadInput(
                f"{path.name} holds weights only, no architecture",
                accepted=_ACCEPTED,
                do="build the model in your code, model.load_weights(path), then lab.export(model)",
            )


def load(path: Path) -> Any:
    """The model in the file, on the torch backend, without its optimizer.

    Raises
    ------
    MissingExtra
        Without Keras.
    BadInput
        When Keras runs on another backend in this process.
    ExportError
        When Keras cannot build it: a class of the user's, a Lambda, another version.
    """
    keras = _keras()
    try:
        with without_tensorflow():
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as e:
        raise _explained(path, e, keras.__version__) from e


def sentences(path: Path) -> list[str]:
    """For the card: who saved it, and the optimizer state that stays behind."""
    said = [f"read from {path.name} ({megabytes(path.stat().st_size)}), saved by Keras {version_in(path)}"]
    if size := optimizer_bytes(path):
        said.append(f"optimizer state, {megabytes(size)}, stays behind")
    return said


def version_in(path: Path) -> str:
    """The version of Keras that saved the file; ``"?"`` where it does not say."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            return (
                str(json.loads(archive.read("metadata.json")).get("keras_version", "?"))
                if "metadata.json" in names
                else "?"
            )
    with _opened(path) as file:
        version = file.attrs.get("keras_version", "?")
        return version.decode() if isinstance(version, bytes) else str(version)


def optimizer_bytes(path: Path) -> int:
    """Bytes of the optimizer's state in the file."""
    with _opened(path) as file:
        return sum(_datasets(file[name]) for name in ("optimizer", "optimizer_weights") if name in file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The HDF5 file itself, or the one inside the archive."""
    try:
        import h5py
    except ImportError:
        raise missing("h5py", "keras") from None
    try:
        if path.suffix != ".keras":
            with h5py.File(path, "r") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            inner = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(inner, "r") as file:
            yield file
    except OSError as e:
        raise BadInput(f"{path.name} is damaged: {str(e)[:200]}", accepted=_ACCEPTED, do="copy or save it again") from e


def _datasets(group: Any) -> int:
    """Bytes of all arrays in an HDF5 group or array."""
    return int(group.nbytes) if hasattr(group, "nbytes") else sum(_datasets(g) for g in group.values())


def _keras() -> Any:
    """Keras on the torch backend; in a process that has not chosen yet, chosen here."""
    if "keras" not in sys.modules:
        os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        raise missing("keras", "keras") from None
    if (backend := keras.backend.backend()) != "torch":
        raise BadInput(
            f"Keras runs on the {backend} backend in this process",
            accepted="the torch backend, to read a file without TensorFlow",
            do="restart Python and set KERAS_BACKEND=torch before Keras is imported; or load it and lab.export(model)",
        )
    return keras


def _explained(path: Path, e: Exception, here: str) -> ExportError:
    """What Keras said, in the words of someone who has the file and wants the model."""
    text, saved = str(e), version_in(path)
    if "lambda" in text.lower() and ("unsafe" in text.lower() or "safe_mode" in text):
        return ExportError(
            f"{path.name} holds a Lambda layer, whose Python code is stored in the file: {_NO_CODE}",
            do="if you trust it, load it in your own code, then lab.export(model)",
        )
    if "Could not locate" in text or "Unknown layer" in text or "custom" in text.lower():
        what = next((line for line in text.splitlines() if "Could not locate" in line or "Unknown" in line), text)
        return ExportError(
            f"{path.name} uses a class that is not Keras's own: {what[:200]}",
            do="keras.saving.load_model(path, custom_objects={...}) in your own code, then lab.export(model)",
        )
    versions = "" if saved == here else f" (saved by Keras {saved}, here is {here})"
    return ExportError(
        f"{path.name} cannot be read{versions}: {type(e).__name__}: {(text.strip().splitlines() or [''])[0][:200]}",
        accepted=_ACCEPTED + " of Keras 3, and most .h5 files of Keras 2",
        do=f"load it with Keras {saved} and model.save('x.keras'), or rebuild the model in code and load its weights",
    )
