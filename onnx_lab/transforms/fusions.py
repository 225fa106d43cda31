"""The fusions by name, in the order in which they run, and which of them each target wants.

Where ONNX Runtime has a switch for a fusion, the name is the switch's (``disable_skip_layer_norm`` there is
``skip_layer_norm`` here). Turning one off also tells sessions to leave it alone, since ONNX Runtime fuses again when
it loads a file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnx_lab.transforms import (
    _near_gelu,
    _near_norm,
    constant_embeddings,
    dead_tokens,
    no_padding,
    patch_matmul,
    scale_in_weights,
)
from onnx_lab.transforms._explicit import write_defaults
from onnx_lab.transforms.attention import drop_nan_guards, fuse_attention
from onnx_lab.transforms.batch_first import batch_first
from onnx_lab.transforms.embed_norm import fuse_embed_layer_norm
from onnx_lab.transforms.packing import pack_qkv
from onnx_lab.transforms.straight_keys import straighten_keys

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class Fusion:
    """One named step: `apply` edits the graph in place and returns how many places it changed.

    `at_load` are ONNX Runtime's names for the same fusion when it opens a session.
    """

    name: str
    apply: Callable[[ir.Model], int]
    about: str
    at_load: tuple[str, ...] = ()

    def why_not(self, model: ir.Model) -> str:
        """Why it changed nothing in `model`, in words; "" when nothing is known about that."""
        return _WHY[self.name](model) if self.name in _WHY else ""


def _layer_norm(model: ir.Model) -> int:
    from onnxscript.rewriter.rules.fusion._layer_norm import layer_normalization_ruleset

    write_defaults(model)
    return int(layer_normalization_ruleset.apply_to_model(model))


def _gelu(model: ir.Model) -> int:
    from onnxscript.rewriter.ort_fusions import erfgelu, gelu

    return _apply(model, [*erfgelu.rules.rules, *gelu.gelu_rules.rules], commute=True)


def _bias_skip_layer_norm(model: ir.Model) -> int:
    from onnxscript.rewriter.ort_fusions.skip_normalization import skip_layer_normalization_ruleset

    return _apply(model, [r for r in skip_layer_normalization_ruleset.rules if "Bias" in r.name])


def _skip_layer_norm(model: ir.Model) -> int:
    from onnxscript.rewriter.ort_fusions.skip_normalization import skip_layer_normalization_ruleset

    return _apply(model, [r for r in skip_layer_normalization_ruleset.rules if "Bias" not in r.name])


def _bias_gelu(model: ir.Model) -> int:
    from onnxscript.rewriter.ort_fusions.bias_gelu import fuse_bias_gelu

    return int(fuse_bias_gelu(model))


def _gelu_approximation(model: ir.Model) -> int:
    """``Gelu`` by its tanh formula: small differences in every answer, so never without being asked."""
    count = 0
    for node in model.graph:
        if node.op_type in ("Gelu", "BiasGelu") and node.attributes.get_string("approximate", "none") == "none":
            node.op_type, node.domain = "FastGelu", "com.microsoft"
            node.attributes.pop("approximate", None)
            count += 1
    return count


def _apply(model: ir.Model, rules: list[Any], *, commute: bool = False) -> int:
    from onnxscript.rewriter import pattern

    return int(pattern.RewriteRuleSet(rules, commute=commute).apply_to_model(model))


#: Moves that can say why they do not apply, and fusions that nearly did.
_WHY: Mapping[str, Callable[[ir.Model], str]] = {
    **{
        m.__name__.rpartition(".")[2]: m.why_not
        for m in (constant_embeddings, dead_tokens, no_padding, patch_matmul, scale_in_weights)
    },
    "layer_norm": _near_norm.why_not,
    "gelu": _near_gelu.why_not,
}

#: Name, what runs it, what becomes of what, ONNX Runtime's names for it at load.
_TABLE: tuple[tuple[str, Callable[[ir.Model], int], str, str], ...] = (
    ("constant_embeddings", constant_embeddings.fold_embeddings, "positions at a fixed length: one constant", ""),
    ("patch_matmul", patch_matmul.patches_as_matmul, "the Conv over patches: a matrix product", ""),
    ("layer_norm", _layer_norm, "its primitives: LayerNormalization", "LayerNormFusionL1 LayerNormFusionL2"),
    ("gelu", _gelu, "its erf and tanh formulas: Gelu", "GeluFusionL1 GeluFusionL2 FastGeluFusion"),
    ("bias_skip_layer_norm", _bias_skip_layer_norm, "bias, residual, norm: one node", "BiasSkipLayerNormFusion"),
    ("skip_layer_norm", _skip_layer_norm, "residual and norm: SkipLayerNormalization", "SkipLayerNormFusion"),
    ("batch_first", batch_first, "attention that runs sequence first: batch first", ""),
    ("attention", fuse_attention, "scores, mask, softmax, values: one node", "AttentionFusion"),
    ("nan_guard", drop_nan_guards, "the guard for rows without a token: a finite mask", ""),
    ("idle_masks", no_padding.drop_idle_masks, "masks that are zero whatever is fed: none", ""),
    ("no_padding", no_padding.drop_masks, "masks that are zero without padding: none (only when asked)", ""),
    ("straight_keys", straighten_keys, "keys turned by way of three axes: one Transpose", ""),
    ("dead_tokens", dead_tokens.drop_dead_tokens, "the last layer: for the token alone that is read", ""),
    ("scale_in_weights", scale_in_weights.fold_scales, "attention's scale: in the query's weights", ""),
    ("packed_qkv", lambda model: pack_qkv(model, "mha"), "one product for Q, K and V", ""),
    ("embed_layer_norm", fuse_embed_layer_norm, "embeddings, sum, norm: one node", "EmbedLayerNormFusion"),
    ("bias_gelu", _bias_gelu, "bias and Gelu: BiasGelu", "BiasGeluFusion"),
    ("gelu_approximation", _gelu_approximation, "Gelu: FastGelu (changes answers a little)", "GeluApproximation"),
)
FUSIONS: tuple[Fusion, ...] = tuple(Fusion(n, f, about, tuple(at_load.split())) for n, f, about, at_load in _TABLE)

#: What a provider with ONNX Runtime's own kernels for transformers wants.
_CUDA = "layer_norm gelu bias_skip_layer_norm skip_layer_norm attention packed_qkv embed_layer_norm bias_gelu".split()
#: SkipLayerNormalization is slow in ONNX Runtime's CPU kernel, and BiasGelu would keep the bias out of int8 products.
_CPU = (
    "constant_embeddings patch_matmul layer_norm gelu batch_first attention idle_masks dead_tokens packed_qkv".split()
)
#: Providers that compile the graph themselves have no kernels for ONNX Runtime's own operators: those would fall back
#: to the CPU. What helps them is a graph in which their own patterns are found.
_COMPILERS = ["nan_guard"]
#: With OpenVINO the moves of benchmarks on an AMX machine: exact up to rounding, and none was slower there.
_OPENVINO = (
    "constant_embeddings patch_matmul batch_first nan_guard idle_masks straight_keys dead_tokens scale_in_weights"
).split()

_WANTED: Mapping[str, list[str]] = {"cpu": _CPU, "dnnl": _CPU, "cuda": _CUDA, "directml": _CUDA, "openvino": _OPENVINO}


def wanted(provider: str) -> list[str]:
    """Names of the fusions that are made for a target by default, in order.

    Examples
    --------
    >>> wanted("tensorrt")
    ['nan_guard']
    """
    return _WANTED.get(provider, _COMPILERS)


def names() -> list[str]:
    """All names."""
    return [f.name for f in FUSIONS]
