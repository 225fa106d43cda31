"""VGG16 in Keras: with ImageNet's weights where they can be had, else a slim one that was really trained on digits."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from onnx_lab.card import Card, Shown
from onnx_lab.errors import BadInput, missing
from onnx_lab.samples import _slim_vgg16 as slim
from onnx_lab.task import Feeds, Task

if TYPE_CHECKING:
    from PIL.Image import Image

#: The file that Keras itself downloads, and keeps below ``~/.keras/models``.
IMAGENET_FILE = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
_HOST = "storage.googleapis.com"
_PATIENCE_S = 3.0
_BATCH = 20
_CALIBRATION = 100
_CROPS = 48


@dataclass(frozen=True, repr=False, eq=False)
class Vgg16Sample(Shown):
    """What `vgg16` returns.

    Attributes
    ----------
    model : keras.Model
        On the torch backend; channels last, Softmax at the end.
    task : Task
        500 held-out digits in batches of 20; with ImageNet's weights crops of two photographs, where right means the
        class that Keras itself gives in float32.
    calibration : list of Feeds
        Batches of pictures that are not in the task.
    images : tuple of PIL.Image
        The task's pictures, in its order.
    classes : tuple of str
        What a picture may show.
    source : str
        Which weights are in use.
    side : int
        Height and width that the model takes.
    """

    model: Any
    task: Task
    calibration: list[Feeds]
    images: tuple[Any, ...]
    classes: tuple[str, ...]
    source: str
    side: int

    def preprocess(self, picture: Image) -> npt.NDArray[np.float32]:
        """A picture as ``float32 (side, side, 3)``: resized, then Keras's own ``vgg16.preprocess_input``.

        That turns RGB to BGR and subtracts ImageNet's means; nothing is scaled.
        """
        return preprocess(picture, self.side)

    def _card(self) -> Card:
        weights = sum(int(np.prod(v.shape)) for v in self.model.variables)
        rows = [
            ("model", f"{self.model.name}, 13 convolutions and 3 dense layers, {weights / 1e6:.1f} M weights"),
            ("weights", self.source),
            ("task", f"{self.task.name}: {len(self.task)} pictures of {self.side}x{self.side}"),
            ("classes", ", ".join(self.classes[:10]) + (", ..." if len(self.classes) > 10 else "")),
            ("brings", ".model .preprocess .task .calibration .images .classes"),
        ]
        return Card("VGG16 sample", rows)


def vgg16(file: str | Path | None = None, *, seed: int = 0, offline: bool | None = None) -> Vgg16Sample:
    """VGG16 in Keras on the torch backend, its preprocessing, a Task and calibration feeds.

    ImageNet's weights come from `file`, else Keras's own cache (``~/.keras/models``), else the network. Where there
    are none, it is a slim VGG16 (an eighth of the filters, 128x128x3) trained on scikit-learn's handwritten digits,
    97.8 % right on those held out.

    Parameters
    ----------
    file : str or Path, optional
        An ``.h5`` with VGG16's weights, its top included, or the folder that holds one under Keras's name.
    seed : int, default 0
        Of the choice of calibration pictures.
    offline : bool, optional
        True: never ask the network. Default: what ``HF_HUB_OFFLINE`` says.

    Returns
    -------
    Vgg16Sample

    Raises
    ------
    MissingExtra
        Without Keras, Pillow or scikit-learn.
    BadInput
        When `file` does not hold VGG16's weights, or Keras runs on another backend.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> net = lab.samples.vgg16(offline=True)              # doctest: +SKIP
    >>> net.task                                           # doctest: +SKIP
    Task('which digit it is: 500 samples, 10 classes')
    """
    keras = slim.keras_on_torch()
    if (backend := keras.backend.backend()) != "torch":
        raise BadInput(
            f"Keras runs on the {backend} backend in this process",
            accepted="the torch backend",
            do="restart Python and set KERAS_BACKEND=torch before Keras is imported",
        )
    found = _imagenet_weights(file, offline)
    if found is None:
        return _digits(seed)
    weights, source = found
    return _photographs(_with_weights(keras, weights), source, seed)


def preprocess(picture: Image, side: int) -> npt.NDArray[np.float32]:
    """See `Vgg16Sample.preprocess`."""
    from PIL import Image

    keras = slim.keras_on_torch()
    small = picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    pixels = np.asarray(keras.utils.img_to_array(small), np.float32)
    return np.ascontiguousarray(keras.applications.vgg16.preprocess_input(pixels), np.float32)


def _digits(seed: int) -> Vgg16Sample:
    train, test = slim.read_digits()
    model = slim.build()
    images = tuple(test.images())
    chosen = np.random.default_rng(seed).permutation(len(train.labels))[:_CALIBRATION]
    calibration = list(_Batches(slim.Digits(train.pixels[chosen], train.labels[chosen]).images(), slim.SIDE, "image"))
    task = Task("which digit it is", _Batches(images, slim.SIDE, "image"), test.labels, slim.CLASSES)
    source = "slim VGG16, trained on scikit-learn's digits (the ImageNet weights are not here)"
    return Vgg16Sample(model, task, calibration, images, slim.CLASSES, source, slim.SIDE)


def _photographs(model: Any, source: str, seed: int) -> Vgg16Sample:
    """Crops of scikit-learn's two photographs: their class is what the model itself says in float32."""
    import torch

    side = int(model.inputs[0].shape[1])
    crops = _crops(2 * _CROPS, seed)
    images, rest = tuple(crops[:_CROPS]), crops[_CROPS:]
    batches = _Batches(images, side, "input")
    with torch.no_grad():
        answers = [model(torch.from_numpy(np.asarray(f["input"])), training=False).argmax(-1) for f in batches]
    labels = torch.cat(answers).cpu().numpy().astype(np.int64)
    classes = _imagenet_classes(int(model.outputs[0].shape[-1]))
    task = Task("the class that Keras gives in float32", batches, labels, classes)
    return Vgg16Sample(model, task, list(_Batches(rest, side, "input")), images, classes, source, side)


def _crops(count: int, seed: int) -> list[Image]:
    """Pieces of 200 to 400 pixels, of a temple and a flower by turns."""
    from PIL import Image

    try:
        from sklearn.datasets import load_sample_images
    except ImportError:
        raise missing("scikit-learn", "sklearn") from None
    rng, photographs, found = np.random.default_rng(seed), load_sample_images().images, []
    for i in range(count):
        pixels, size = photographs[i % len(photographs)], int(rng.integers(200, 400))
        top, left = (int(rng.integers(0, n - size)) for n in pixels.shape[:2])
        found.append(Image.fromarray(pixels[top : top + size, left : left + size]))
    return found


def _imagenet_weights(file: str | Path | None, offline: bool | None) -> tuple[Path, str] | None:
    """The file with the weights, and where it came from in words."""
    if file is not None:
        given = Path(file).expanduser()
        path = given / IMAGENET_FILE if given.is_dir() else given
        if not path.is_file():
            raise BadInput(
                f"no file at {path}", accepted=f"an .h5 with VGG16's weights, or a folder with {IMAGENET_FILE}"
            )
        return path, f"VGG16 of {path.name}"
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")).expanduser() / "models" / IMAGENET_FILE
    if cached.is_file():
        return cached, "VGG16 on ImageNet, from Keras's cache"
    asked_not = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "ON", "YES")
    if asked_not if offline is None else offline:
        return None
    return _downloaded()


def _downloaded() -> tuple[Path, str] | None:
    """Keras's own download (550 MB), where its host answers within seconds."""
    if not _host_answers():
        return None
    vgg = slim.keras_on_torch().src.applications.vgg16
    try:
        path = slim.keras_on_torch().utils.get_file(IMAGENET_FILE, vgg.WEIGHTS_PATH, cache_subdir="models")
    except Exception:  # whatever the host said instead of the file: then there is none
        return None
    return Path(path), "VGG16 on ImageNet, downloaded by Keras"


@functools.cache
def _host_answers() -> bool:
    """Asked once, in a thread that is not waited for: looking up a name can hang for longer than any time limit."""
    answers: list[bool] = []

    def ask() -> None:
        with contextlib.suppress(OSError):
            socket.create_connection((_HOST, 443), _PATIENCE_S).close()
            answers.append(True)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE_S)
    return answers == [True]


def _with_weights(keras: Any, file: Path) -> Any:
    model = keras.applications.VGG16(weights=None)
    try:
        model.load_weights(file)
    except Exception as e:
        raise BadInput(
            f"{file.name} does not hold the weights of VGG16: {(str(e).splitlines() or [''])[0][:200]}",
            accepted=f"{IMAGENET_FILE} as Keras downloads it",
            do="lab.export(file) for any other Keras model",
        ) from e
    return model


def _imagenet_classes(count: int) -> tuple[str, ...]:
    """From Keras's cache; numbers where it was never downloaded."""
    index = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")).expanduser() / "models/imagenet_class_index.json"
    try:
        names = json.loads(index.read_text())
        return tuple(f"{names[str(i)][1]} ({i})" for i in range(count))  # two classes are both called crane
    except (OSError, ValueError, KeyError):
        return tuple(f"ImageNet class {i}" for i in range(count))


@dataclass(frozen=True)
class _Batches(Sequence[Feeds]):
    """Pictures as batches that are prepared when they are asked for: as arrays all of them take four times the room."""

    images: Sequence[Any]
    side: int
    name: str

    def __len__(self) -> int:
        return -(-len(self.images) // _BATCH)

    @overload
    def __getitem__(self, index: int) -> Feeds: ...
    @overload
    def __getitem__(self, index: slice) -> list[Feeds]: ...
    def __getitem__(self, index: int | slice) -> Feeds | list[Feeds]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        start = index % len(self) * _BATCH
        return {self.name: np.stack([preprocess(p, self.side) for p in self.images[start : start + _BATCH]])}
