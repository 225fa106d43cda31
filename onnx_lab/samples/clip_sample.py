"""A CLIP with its tokenizer and its preprocessing, and drawn scenes to ask it about: what accuracy means for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from onnx_lab.card import Card, Shown
from onnx_lab.errors import missing
from onnx_lab.samples import _scenes
from onnx_lab.samples._weights import CLIP_B32, CLIP_L14_336, Weights, given_folder, in_hub
from onnx_lab.task import Feeds, Task

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

_SCENES, _CALIBRATION, _BATCH = 640, 128, 32
#: Feeds of a Task that are larger than this are made anew each time they are asked for.
_KEPT_BYTES = 64_000_000


class Batches(Sequence[Feeds]):
    """Pictures as Feeds of 32, made when they are asked for: 640 pictures of 336 pixels would be 870 MB at once."""

    def __init__(self, images: Sequence[Image], preprocess: Any, batch: int = _BATCH) -> None:
        self._images, self._preprocess, self._batch = images, preprocess, batch

    def __len__(self) -> int:
        return -(-len(self._images) // self._batch)

    @overload
    def __getitem__(self, index: int) -> Feeds: ...
    @overload
    def __getitem__(self, index: slice) -> list[Feeds]: ...
    def __getitem__(self, index: int | slice) -> Feeds | list[Feeds]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start = range(len(self))[index] * self._batch
        chosen = self._images[start : start + self._batch]
        return {"image": np.stack([self._preprocess(p).numpy() for p in chosen])}


@dataclass(frozen=True, repr=False, eq=False)
class ClipSample(Shown):
    """What `clip` returns.

    Attributes
    ----------
    model : open_clip.CLIP
        In float32 and in eval mode.
    tokenizer : callable
        open_clip's: texts -> tokens int64 ``(n, context)``.
    preprocess : callable
        open_clip's transform: PIL image -> float32 ``(3, pixels, pixels)``.
    task : Task
        640 drawn scenes and the pair of colour and shape that each shows. No small model was trained on such pairs.
    prompts : tuple of str
        ``"a photo of a red circle"``, one for each class.
    classes : tuple of str
        ``"red circle"``: the 16 pairs.
    images : tuple of PIL images
        The scenes, in the order of the Task.
    calibration : sequence of Feeds
        128 scenes of other pairs; none of them is in the Task.
    source : str
        Which weights are in use.
    """

    model: Any
    tokenizer: Any
    preprocess: Any
    task: Task
    prompts: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[Image, ...]
    calibration: Sequence[Feeds]
    source: str

    @cached_property
    def image_tower(self) -> torch.nn.Module:
        """The image half as a torch module: ``image`` -> ``image_features``, as `lab.export` writes it."""
        from onnx_lab.exporters._clip_towers import ImageTower

        return ImageTower(self.model)

    @cached_property
    def text_tower(self) -> torch.nn.Module:
        """The text half as a torch module: ``text`` -> ``text_features``."""
        from onnx_lab.exporters._clip_towers import TextTower

        return TextTower(self.model)

    @cached_property
    def classifier(self) -> torch.nn.Module:
        """Pictures to one score for each prompt, in PyTorch: what ``pair.zero_shot(...)`` makes of files."""
        from onnx_lab.exporters._clip_towers import ZeroShotClassifier

        return ZeroShotClassifier(self.model, self.tokenizer(list(self.prompts)))

    def batches(self, images: Sequence[Image], *, batch: int = _BATCH) -> Sequence[Feeds]:
        """Pictures as Feeds for the image tower."""
        return Batches(images, self.preprocess, batch)

    def _card(self) -> Card:
        size = sum(p.numel() for p in self.model.parameters())
        pixels = next(iter(self.task.feeds))["image"].shape[-1]
        rows = [
            ("model", f"{type(self.model).__name__}, {size / 1e6:.1f} M weights, pictures of {pixels} x {pixels}"),
            ("weights", self.source),
            ("task", f"{len(self.task)} drawn scenes, {len(self.classes)} classes: {', '.join(self.classes[:3])}, ..."),
            ("brings", ".model .tokenizer .preprocess .task .prompts .classes .images .calibration .image_tower"),
        ]
        return Card("CLIP sample", rows)


def clip(folder: str | Path | None = None, *, seed: int = 0, offline: bool | None = None) -> ClipSample:
    """A CLIP, what belongs to it, and a Task on drawn scenes.

    The weights are ViT-B-32 (laion2b_s34b_b79k): from `folder`, else the local hub cache, else the hub. Where none of
    them has it, a small CLIP of open_clip's own classes that was trained on drawn scenes; `.source` says which.

    Parameters
    ----------
    folder : str or Path, optional
        A folder of any open_clip model in the hub's layout (open_clip_config.json, open_clip_model.safetensors).
    seed : int, default 0
        Of the scenes in the Task.
    offline : bool, optional
        True: never ask the hub. Default: what ``HF_HUB_OFFLINE`` says.

    Returns
    -------
    ClipSample

    Raises
    ------
    MissingExtra
        Without open_clip.
    BadInput, ExportError
        When `folder` is no model folder.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> sample = lab.samples.clip(offline=True)            # doctest: +SKIP
    >>> sample.task                                        # doctest: +SKIP
    Task('what a drawn scene shows: colour and shape': 640 samples, 16 classes)
    """
    try:
        import open_clip  # noqa: F401 - said here, before anything is looked for
    except ImportError:
        raise missing("open_clip", "clip") from None
    if folder is not None:
        given = given_folder(folder, CLIP_B32)
        found: Weights | None = Weights(given, f"the folder {given.name}")
    else:
        found = in_hub(CLIP_B32, CLIP_L14_336, offline=offline)
    model, tokenizer, preprocess, source = _pretrained(found) if found else _small()
    drawn = _scenes.scenes(_scenes.UNSEEN, _SCENES, seed=seed)
    images = tuple(_scenes.picture(s) for s in drawn)
    labels = np.array([_scenes.UNSEEN.index((s.colour, s.shape)) for s in drawn], np.int64)
    classes = tuple(f"{c} {s}" for c, s in _scenes.UNSEEN)
    feeds: Sequence[Feeds] = Batches(images, preprocess)
    if feeds[0]["image"].nbytes * len(feeds) < _KEPT_BYTES:
        feeds = list(feeds)
    others = _scenes.scenes(_scenes.SEEN, _CALIBRATION, seed=seed + 1)
    return ClipSample(
        model,
        tokenizer,
        preprocess,
        Task("what a drawn scene shows: colour and shape", feeds, labels, classes),
        tuple(_scenes.prompt(c, s) for c, s in _scenes.UNSEEN),
        classes,
        images,
        Batches([_scenes.picture(s) for s in others], preprocess),
        source,
    )


def _small() -> tuple[Any, Any, Any, str]:
    from onnx_lab.samples import _small_clip

    source = "a small CLIP that comes with onnx_lab, trained on drawn scenes only (no ViT-B-32 was found)"
    return _small_clip.load_model(), _small_clip.tokenizer(), _small_clip.preprocess(), source


def _pretrained(weights: Weights) -> tuple[Any, Any, Any, str]:
    import open_clip
    from open_clip.transform import PreprocessCfg, image_transform_v2

    from onnx_lab.exporters.clip import load_open_clip

    where = f"local-dir:{weights.folder}"
    model = load_open_clip(where)
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)
    return model, open_clip.get_tokenizer(where), preprocess, weights.source
