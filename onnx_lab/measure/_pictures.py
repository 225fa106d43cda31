"""Pictures as feeds: what comes in as a picture, and what a model's own preprocessing makes of it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from onnx_lab.errors import BadInput, missing
from onnx_lab.model import Model, TensorSpec
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    from PIL.Image import Image

_ACCEPTED = "a path, a PIL image, uint8[height, width, 3], or a list of these"
_THUMBNAIL = 96


class Preprocess(Protocol):
    """What is asked of a preprocessing: a call with one picture in RGB."""

    def __call__(self, picture: Image, /) -> Any:
        """What the model takes of it, without the batch axis."""


def pictures_in(given: Any) -> tuple[Image, ...]:
    """Whatever stands for pictures, as PIL images in RGB.

    Raises
    ------
    BadInput
        For a file that is no picture, or an array of another shape or dtype.
    MissingExtra
        Without Pillow.
    """
    many = given if isinstance(given, (list, tuple)) else [given]
    if not many:
        raise BadInput("no picture at all", accepted=_ACCEPTED)
    return tuple(_picture(one) for one in many)


def is_picture(given: Any) -> bool:
    """Whether this is a picture or a list of them, told without opening it; text is not."""
    if isinstance(given, (list, tuple)):
        return bool(given) and all(is_picture(g) for g in given)
    if isinstance(given, (Path, np.ndarray)):
        return True
    return any(k.__module__.startswith("PIL.") for k in type(given).__mro__)


def prepared(m: Model, pictures: Sequence[Image], preprocess: Preprocess | None) -> Feeds:
    """One batch for the one picture input of `m`.

    Raises
    ------
    BadInput
        Without `preprocess`, or when what it gives does not fit the model: both shapes are named.
    """
    spec = picture_input(m)
    if preprocess is None:
        raise BadInput(
            "a picture without preprocess=",
            accepted=f"a function from a PIL image to {_without_batch(spec)}, or an array for {spec}",
            do="preprocess=sample.preprocess of the lab's samples, or the transform that the model was trained with",
        )
    if not callable(preprocess):
        raise BadInput(f"preprocess of type {type(preprocess).__name__}", accepted="a function of a PIL image")
    arrays = [_array(preprocess(p)) for p in pictures]
    for array in arrays:
        if not _fits(array, spec):
            raise BadInput(
                f"preprocess gives {array.dtype}{list(array.shape)}",
                accepted=f"{_without_batch(spec)}, as {m.name} takes it in {spec.name!r}",
                do="use the preprocessing of this very model: the size and the place of the channels differ",
            )
    return {spec.name: np.stack(arrays).astype(spec.dtype)}


def picture_input(m: Model) -> TensorSpec:
    """The input that takes pictures: the only one, of four axes."""
    found = [s for s in m.inputs if len(s.shape) == 4]
    if len(found) != 1 or len(m.inputs) != 1:
        raise BadInput(f"a picture for {m.name}", accepted="; ".join(map(str, m.inputs)), do="feed a dict of arrays")
    return found[0]


def thumbnail(picture: Image) -> str:
    """A small copy as a ``data:`` address, 1 to 5 kB: it stays readable in a saved notebook."""
    small = picture.copy()
    small.thumbnail((_THUMBNAIL, _THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def _picture(given: Any) -> Image:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise missing("Pillow", "clip") from None
    if isinstance(given, Image.Image):
        return given.convert("RGB")
    if isinstance(given, np.ndarray):
        return _from_array(given)
    if not isinstance(given, (str, os.PathLike)):
        raise BadInput(f"a {type(given).__name__} as picture", accepted=_ACCEPTED)
    path = Path(given).expanduser()
    if not path.is_file():
        raise BadInput(f"no file at {path}", accepted=_ACCEPTED, do=f"the working folder is {Path.cwd()}")
    try:
        with Image.open(path) as opened:
            return opened.convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as e:
        why = str(e) if not isinstance(e, UnidentifiedImageError) else "its format is not known"
        raise BadInput(
            f"{path.name} is not a picture that can be read: {why}",
            accepted="PNG, JPEG, WebP, GIF, BMP, TIFF",
            do="open it in a viewer; a file that was cut off while copying is the usual reason",
        ) from e


def _from_array(array: npt.NDArray[Any]) -> Image:
    from PIL import Image

    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise BadInput(
            f"{array.dtype}{list(array.shape)} as picture",
            accepted="uint8[height, width, 3]",
            do="(x * 255).astype('uint8') for values from 0 to 1; a batch that is ready goes in as {input name: array}",
        )
    return Image.fromarray(array).convert("RGB")


def _array(made: Any) -> npt.NDArray[Any]:
    """What preprocessing gave, as an array: a tensor of any framework, or the ``pixel_values`` of a processor."""
    if isinstance(made, Mapping):
        made = made["pixel_values"] if "pixel_values" in made else next(iter(made.values()))
        made = np.asarray(made)[0] if np.asarray(made).ndim == 4 else made
    return np.asarray(made.detach().cpu() if hasattr(made, "detach") else made)


def _fits(array: npt.NDArray[Any], spec: TensorSpec) -> bool:
    dims = spec.shape[1:]
    if array.ndim != len(dims):
        return False
    return all(not isinstance(d, int) or d == n for d, n in zip(dims, array.shape, strict=True))


def _without_batch(spec: TensorSpec) -> str:
    return f"{spec.dtype}[{', '.join(str(d) for d in spec.shape[1:])}]"
