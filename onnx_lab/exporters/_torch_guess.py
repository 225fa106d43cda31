"""Example inputs for a plain module: guessed from its layers, and believed only when the module runs on them."""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onnx_lab.errors import BadInput
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._torch_source import TorchSource, as_it_was, parameters_of, to_tensors
from onnx_lab.feeds import random_feeds
from onnx_lab.model import TensorSpec

if TYPE_CHECKING:
    import torch

SIZES = {"batch": 2, "sequence": 16}
#: Pixels per side to try, the usual first; after a Flatten only one of them fits.
PIXELS = (224, 32, 28, 64, 96, 128, 256, 299, 192, 160, 112, 48, 16, 384, 8)
#: Guessing ends after so many tries, or so many seconds.
TRIES, SECONDS = 200, 20.0


@dataclass(frozen=True)
class Guess:
    """One possible input: dtype, shape with axis names, and for ids the bound."""

    dtype: str
    shape: tuple[int | str, ...]
    below: int | None = None

    def __str__(self) -> str:
        return str(TensorSpec("", self.dtype, tuple(SIZES.get(str(d), d) for d in self.shape)))[2:]


def guess(module: torch.nn.Module) -> TorchSource:
    """The source for the first guessed inputs that `module` runs on, dynamic axes named.

    Raises
    ------
    BadInput
        When none fits; it says what was tried and shows the line to write.
    """
    names = _required(module)
    floats = _float_type(module)
    refusal = ""
    tried: list[str] = []
    end = time.monotonic() + SECONDS
    for whatever in itertools.islice(_choices(module, names), TRIES):
        choice = [replace(g, dtype=floats) if g.dtype == "float32" else g for g in whatever]
        if time.monotonic() > end:
            break
        try:
            return _source(module, dict(zip(names, choice, strict=True)))
        except Exception as e:
            refusal = f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0][:160]}"
            tried.append(" and ".join(map(str, choice)))
    raise _not_found(module, names, tried, refusal)


def _source(module: torch.nn.Module, choice: dict[str, Guess]) -> TorchSource:
    """The source for one choice of inputs; whatever the module raises when it does not take them passes through."""
    specs = [TensorSpec(n, g.dtype, g.shape) for n, g in choice.items()]
    below = {n: g.below for n, g in choice.items() if g.below}
    feeds = random_feeds(specs, axes=SIZES, ids_below=below)
    tensors = to_tensors(module, (feeds[n] for n in choice))
    source = TorchSource.of(module, tensors, {})
    with as_it_was(module):
        module(*tensors)
    # names as in forward's signature are those that TorchSource.of found, *args apart
    named = [replace(s, name=n) for s, n in zip(specs, source.inputs.names, strict=True)]
    ids = {n: g.below for n, g in zip(source.inputs.names, choice.values(), strict=True) if g.below}
    return replace(source, inputs=Inputs(tuple(named), source.inputs.example, ids_below=ids))


def _float_type(module: torch.nn.Module) -> str:
    """The floating type of the module's weights, which is mostly that of its inputs."""
    types = (str(p.dtype).removeprefix("torch.") for p in module.parameters() if p.is_floating_point())
    return next(types, "float32")


def _required(module: torch.nn.Module) -> list[str]:
    """Names of the tensors to find: parameters without default, at least one."""
    parameters = parameters_of(module).values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is inspect.Parameter.empty]
    return required or [p.name for p in positional[:1]] or ["input"]


def _choices(module: torch.nn.Module, names: list[str]) -> Iterator[tuple[Guess, ...]]:
    """Combinations to try: the same guess for all inputs first, then each with each."""
    all_guesses = list(dict.fromkeys([*_from_layers(module), *_fallbacks()]))
    per_name = [_by_name(n, all_guesses) for n in names]
    seen = set()
    same = ((g,) * len(names) for g in all_guesses if all(g in guesses for guesses in per_name))
    for choice in itertools.chain(same, itertools.product(*per_name)):
        if choice not in seen:
            seen.add(choice)
            yield choice


def _by_name(name: str, guesses: list[Guess]) -> list[Guess]:
    """What a name says goes first: a mask is a mask, ids are whole numbers."""
    low = name.lower()
    if "mask" in low:
        return [Guess(d, ("batch", "sequence")) for d in ("bool", "int64", "float32")]
    whole = [g for g in guesses if g.dtype == "int64"]
    if whole and (low.endswith(("ids", "tokens", "idx", "index")) or low in ("src", "tgt", "tokens", "words")):
        return [*whole, *(g for g in guesses if g not in whole)]
    return guesses


def _from_layers(module: torch.nn.Module) -> Iterator[Guess]:
    """Guesses from the layers that know the size of their input, in the order in which they were made."""
    from torch import nn

    for layer in module.modules():
        for kinds, guesses in _RULES:
            if isinstance(layer, tuple(getattr(nn, k) for k in kinds)):
                yield from guesses(layer)
    for parameter in module._parameters.values():
        if parameter is not None and parameter.ndim == 2:
            yield from (Guess("float32", ("batch", n)) for n in parameter.shape)


def _fallbacks() -> Iterator[Guess]:
    """For modules whose layers say nothing."""
    yield from (Guess("float32", ("batch", 8)), Guess("float32", ("batch", 3, 224, 224)))
    yield from (Guess("float32", ("batch", "sequence", 8)), Guess("int64", ("batch", "sequence"), 10))


def _linear(layer: Any) -> Iterator[Guess]:
    n = layer.in_features
    yield from (Guess("float32", ("batch", n)), Guess("float32", ("batch", "sequence", n)))


def _embedding(layer: Any) -> Iterator[Guess]:
    yield Guess("int64", ("batch", "sequence"), layer.num_embeddings)
    yield Guess("int64", ("batch",), layer.num_embeddings)


def _recurrent(layer: Any) -> Iterator[Guess]:
    order = ("batch", "sequence") if layer.batch_first else ("sequence", "batch")
    yield Guess("float32", (*order, layer.input_size))


def _attention(layer: Any) -> Iterator[Guess]:
    order = ("batch", "sequence") if layer.batch_first else ("sequence", "batch")
    yield Guess("float32", (*order, layer.embed_dim))


def _conv1d(layer: Any) -> Iterator[Guess]:
    yield from (Guess("float32", ("batch", layer.in_channels, n)) for n in (128, 1024, 16000, 64, 32))


def _conv2d(layer: Any) -> Iterator[Guess]:
    yield from (Guess("float32", ("batch", layer.in_channels, n, n)) for n in PIXELS)


def _conv3d(layer: Any) -> Iterator[Guess]:
    yield from (Guess("float32", ("batch", layer.in_channels, d, n, n)) for d, n in ((8, 32), (16, 112), (16, 64)))


def _norm(layer: Any) -> Iterator[Guess]:
    yield Guess("float32", ("batch", *layer.normalized_shape))
    yield Guess("float32", ("batch", "sequence", *layer.normalized_shape))


def _channels(layer: Any) -> Iterator[Guess]:
    n = getattr(layer, "num_features", None) or layer.num_channels
    yield from (Guess("float32", ("batch", n)), Guess("float32", ("batch", n, 32, 32)))


_RULES = (
    (("Embedding", "EmbeddingBag"), _embedding),
    (("LSTM", "GRU", "RNN"), _recurrent),
    (("MultiheadAttention",), _attention),
    (("Conv1d",), _conv1d),
    (("Conv2d",), _conv2d),
    (("Conv3d",), _conv3d),
    (("LayerNorm",), _norm),
    (("BatchNorm1d", "BatchNorm2d", "GroupNorm"), _channels),
    (("Linear",), _linear),
)


def _not_found(module: torch.nn.Module, names: list[str], tried: list[str], refusal: str) -> BadInput:
    shown = "; ".join(tried[:5]) + (f"; ... {len(tried)} in all" if len(tried) > 5 else "")
    line = ", ".join(f'"{n}": torch.randn(2, ...)' for n in names)
    return BadInput(
        f"no inputs found that {type(module).__name__}.forward({', '.join(names)}) runs on. Tried {shown}. "
        f"It last said {refusal}",
        accepted="one batch that the module takes, as example=",
        do=f"lab.export(net, example={{{line}}})",
    )
