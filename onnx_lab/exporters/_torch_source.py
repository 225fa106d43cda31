"""A PyTorch module as a function from named tensors to named tensors, and the promise to leave it as it was."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from onnx_lab.errors import BadInput, ExportError
from onnx_lab.exporters._inputs import Inputs
from onnx_lab.exporters._tree import filled, named_tensors, unique
from onnx_lab.exporters.parity import Array
from onnx_lab.model import TensorSpec
from onnx_lab.task import Feeds

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TorchSource:
    """How `module` is called with nothing but tensors, and what its outputs are called.

    Attributes
    ----------
    module : torch.nn.Module
        The user's own object.
    signature : inspect.Signature
        Of its ``forward``.
    arguments : mapping
        Parameter of ``forward`` -> value, as `inspect.BoundArguments` keeps them; tensors in it are replaced.
    inputs : Inputs
        One spec for each tensor in `arguments`, in order.
    output_names : tuple of str
        One for each tensor in the result, in order.
    """

    module: torch.nn.Module
    signature: inspect.Signature
    arguments: Mapping[str, Any]
    inputs: Inputs
    output_names: tuple[str, ...] = ()
    framework: str = field(default="PyTorch", init=False)

    @classmethod
    def of(cls, module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> TorchSource:
        """The source for the call ``module(*args, **kwargs)``; all axes are fixed, the outputs not yet named.

        Raises
        ------
        BadInput
            When ``forward`` does not take these arguments, or there is no tensor among them.
        """
        bound = _bind(module, args, kwargs)
        named = [pair for name, value in _flat(bound).items() for pair in named_tensors(value, name)]
        if not named:
            raise BadInput(
                "the example holds no tensor", accepted="a tensor, or a tuple or dict of tensors", do="example=(x,)"
            )
        names = unique([n for n, _ in named], set())
        example = {n: to_numpy(t) for n, (_, t) in zip(names, named, strict=True)}
        specs = [TensorSpec(n, _dtype_name(t), tuple(t.shape)) for n, (_, t) in zip(names, named, strict=True)]
        return cls(module, bound.signature, bound.arguments, Inputs(tuple(specs), example))

    def with_outputs_named(self, names: Sequence[str] | None = None) -> TorchSource:
        """Run once and name the outputs: by `names`, else by the keys of the result."""
        with as_it_was(self.module):
            found = [n for n, _ in self._outputs(self.tensors(self.inputs.example))]
        if names is not None and len(names) != len(found):
            raise BadInput(
                f"{len(names)} output_names", accepted=f"{len(found)} names, for {', '.join(found)}", do="name them all"
            )
        return replace(self, output_names=tuple(names or unique(found, set(self.inputs.names))))

    def run(self, feeds: Feeds) -> dict[str, Array]:
        """The module's outputs as arrays (bfloat16 as float32); the module is left as it was."""
        import torch

        with as_it_was(self.module):
            torch.default_generator.seed()  # a module that draws random numbers must show it from run to run
            outputs = self._outputs(self.tensors(feeds))
        names = self.output_names or [n for n, _ in outputs]
        return {name: to_numpy(t) for name, (_, t) in zip(names, outputs, strict=True)}

    def tensors(self, feeds: Feeds) -> tuple[torch.Tensor, ...]:
        """Feeds as tensors on the module's device, in order."""
        return to_tensors(self.module, [feeds[n] for n in self.inputs.names])

    @contextlib.contextmanager
    def flattened(self) -> Iterator[torch.nn.Module]:
        """The module, in eval mode and with a ``forward`` that takes and returns tensors only.

        The module itself is given another ``forward`` for a while, instead of being wrapped: so its parameters and
        scopes keep the names that the user knows, and keywords and dict results work in every exporter.
        """

        def forward(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(t for _, t in self._outputs(tensors, original))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        names = [f"input_{i}" for i in range(len(self.inputs.specs))]
        forward.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
        original = self.module.forward
        own = "forward" in self.module.__dict__
        with as_it_was(self.module):
            self.module.forward = forward
            try:
                yield self.module
            finally:
                if own:
                    self.module.forward = original
                else:
                    del self.module.forward

    def _outputs(self, tensors: Sequence[torch.Tensor], forward: Any = None) -> list[tuple[str, torch.Tensor]]:
        supply = iter(tensors)
        call = inspect.BoundArguments(self.signature, {k: filled(v, supply) for k, v in self.arguments.items()})
        result = (forward or self.module)(*call.args, **call.kwargs)
        named = [(n or "output", t) for n, t in named_tensors(_numbered(result), "")]
        if not named:
            raise ExportError(
                f"{type(self.module).__name__} returned {type(result).__name__}, which holds no tensor",
                accepted="a tensor, or a tuple, dict or dataclass of tensors",
            )
        return named


@contextlib.contextmanager
def as_it_was(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode without gradients; afterwards training flags, buffers and the random state are what they were.

    Flags are set one by one, not by ``eval()``: classes override it to merge or freeze weights, which could not be
    undone.
    """
    import torch

    flags = [(m, m.training) for m in module.modules()]
    buffers = [(m, k, b, b.clone()) for m in module.modules() for k, b in m._buffers.items() if b is not None]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            for m, _ in flags:
                m.training = False
            yield
        finally:
            for m, flag in flags:
                m.training = flag
            for m, name, buffer, before in buffers:
                m._buffers[name] = buffer
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def to_tensors(module: torch.nn.Module, arrays: Iterable[Array]) -> tuple[torch.Tensor, ...]:
    """Arrays as tensors on the module's device."""
    import torch

    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    return tuple(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in arrays)


def to_numpy(tensor: torch.Tensor) -> Array:
    """A tensor as an array of its own; bfloat16, which NumPy has not, as float32."""
    import torch

    tensor = tensor.detach().cpu()
    array: Array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).resolve_conj().numpy().copy()
    return array


def parameters_of(module: torch.nn.Module) -> Mapping[str, inspect.Parameter]:
    """Parameters of ``forward``; any number of positions for what has no signature (TorchScript)."""
    try:
        return inspect.signature(module.forward).parameters
    except (ValueError, TypeError):
        return {"input": inspect.Parameter("input", inspect.Parameter.VAR_POSITIONAL)}


def _bind(module: torch.nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
    signature = inspect.Signature(list(parameters_of(module).values()))
    try:
        return signature.bind(*args, **kwargs)
    except TypeError as e:
        raise BadInput(
            f"the example does not fit {type(module).__name__}.forward{signature}: {e}",
            accepted="a tensor, a tuple of positional arguments, or a dict of keyword arguments",
        ) from None


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Arguments by name, with ``**kwargs`` under their own names."""
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        if bound.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        else:
            named[name] = value
    return named


def _numbered(result: Any) -> Any:
    """A bare tuple gives ``output_0``, ``output_1``; keys and fields speak for themselves."""
    if isinstance(result, (tuple, list)) and not hasattr(result, "_fields"):
        return {f"output_{i}": v for i, v in enumerate(result)}
    return result


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
