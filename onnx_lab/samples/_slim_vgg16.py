"""The offline stand-in of VGG16: the same 16 weighted layers with an eighth of the filters, and digits to read.

    13 convolutions 3x3 in five blocks of 2, 2, 3, 3, 3, each block ending in a 2x2 pool    widths 8 16 32 64 64
    flatten -> dense 512 -> dense 512 -> dense 10, softmax
The weights were trained by ``data/train_vgg16.py`` on scikit-learn's handwritten digits, enlarged from 8x8 to
128x128x3. Layers bear VGG16's own names, so that what is said about one holds for the other.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import missing
from onnx_lab.runtime.keras_models import keep_tensorflow_out

if TYPE_CHECKING:
    from PIL.Image import Image

FILE = Path(__file__).parent / "data" / "slim_vgg16.safetensors"
#: (convolutions, filters) of each block; VGG16 has 64, 128, 256, 512, 512 filters.
BLOCKS = ((2, 8), (2, 16), (3, 32), (3, 64), (3, 64))
DENSE = 512
SIDE = 128
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEST_DIGITS = 500
_SPLIT_SEED = 16


@dataclass(frozen=True)
class Digits:
    """Handwritten digits, ``uint8 (n, 8, 8)``, and what they are, ``int64 (n,)``."""

    pixels: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def images(self, start: int = 0, stop: int | None = None) -> list[Image]:
        """Enlarged to 128x128 in RGB."""
        from PIL import Image

        small = [Image.fromarray(p) for p in self.pixels[start:stop]]
        return [s.resize((SIDE, SIDE), Image.Resampling.BICUBIC).convert("RGB") for s in small]


def read_digits() -> tuple[Digits, Digits]:
    """1,297 digits to train on and 500 held out; the split is always the same.

    Raises
    ------
    MissingExtra
        Without scikit-learn, whose package carries them.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise missing("scikit-learn", "sklearn") from None
    data = load_digits()
    pixels = np.round(data.images * (255 / 16)).astype(np.uint8)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(pixels))
    train, test = order[:-_TEST_DIGITS], order[-_TEST_DIGITS:]
    labels = data.target.astype(np.int64)
    return Digits(pixels[train], labels[train]), Digits(pixels[test], labels[test])


def keras_on_torch() -> Any:
    """Keras, on the torch backend where nobody chose another; then TensorFlow stays out of the process.

    Raises
    ------
    MissingExtra
        Without Keras.
    """
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        import keras
    except ImportError:
        raise missing("keras", "keras") from None
    keep_tensorflow_out()
    return keras


def build(weights: Path | None = FILE) -> Any:
    """The slim VGG16 as a functional Keras model, with the trained weights or, with None, with fresh ones."""
    layers = keras_on_torch().layers
    x = inputs = layers.Input((SIDE, SIDE, 3), name="image")
    for block, (depth, filters) in enumerate(BLOCKS, 1):
        for i in range(1, depth + 1):
            name = f"block{block}_conv{i}"
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", kernel_initializer="he_normal", name=name)(
                x
            )
        x = layers.MaxPooling2D(2, name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    for name in ("fc1", "fc2"):
        x = layers.Dense(DENSE, activation="relu", kernel_initializer="he_normal", name=name)(x)
    outputs = layers.Dense(len(CLASSES), activation="softmax", name="predictions")(x)
    model = keras_on_torch().Model(inputs, outputs, name="slim_vgg16")
    if weights is not None:
        _load(model, weights)
    return model


def _load(model: Any, file: Path) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(file)
    for variable in model.variables:
        variable.assign(tensors[variable.path])
