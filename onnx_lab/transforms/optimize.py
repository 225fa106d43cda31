"""optimize: the transformer fusions, for the target the model will run on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onnx_lab._blocks import fused_blocks, open_blocks
from onnx_lab._quick_rules import quick_rules
from onnx_lab.errors import BadInput
from onnx_lab.model import SESSION_KEY, Model
from onnx_lab.produce import Made, options_json, produce
from onnx_lab.runtime.offline import refuse_frozen
from onnx_lab.runtime.target import Target
from onnx_lab.transforms import explain, fusions
from onnx_lab.transforms._carry import fill_scopes
from onnx_lab.transforms._counts import count_nodes, size_sentence
from onnx_lab.transforms._options import names, one_of
from onnx_lab.transforms._tidy import settle, tidy
from onnx_lab.transforms.freeze import freeze
from onnx_lab.transforms.packing import pack_qkv

if TYPE_CHECKING:
    import onnx_ir as ir

_FORMS = ("auto", "mha", "attention")
_TOOLS = ["onnx-lab", "onnxscript", "onnx-ir", "onnx", "onnxruntime", "onnxruntime-gpu"]


def optimize(
    m: Model,
    *,
    target: str | Target | None = None,
    disable: Iterable[str] = (),
    enable: Iterable[str] = (),
    attention: str = "auto",
    padding: bool = True,
    offline: bool = False,
    name: str | None = None,
) -> Model:
    """Fuse a transformer's blocks into the nodes that run fastest on `target`.

    Which fusions are made depends on the target (`onnx_lab.transforms.fusions.wanted`). On ``cpu`` attention becomes
    ``MultiHeadAttention`` behind one product for Q, K and V, and sessions of the file are told to leave
    SkipLayerNormalization alone: its CPU kernel costs more than it saves, most of all once the model is quantized.
    On ``cuda`` it is ``Attention``, with SkipLayerNormalization, BiasGelu and EmbedLayerNormalization. ``openvino``,
    ``tensorrt`` and ``coreml`` compile the graph themselves and get ONNX's own operators only.

    On ``cpu`` and ``openvino`` a classifier that reads one token computes its last layer for that token alone,
    attention that runs sequence first (open_clip, ``nn.MultiheadAttention``) is turned, patches become a matrix
    product, and at a fixed length (`fix_shapes`) positions become a constant. The card says what was left out, and why.

    Answers stay the same to the last digits, except for texts without any token (an all-zero mask): their result,
    meaningless either way, differs.

    Parameters
    ----------
    m : Model
        Any model; without attention only constants are folded and what is idle is removed.
    target : str or Target, optional
        Where it will run. Default ``"cpu"``.
    disable : iterable of str
        Fusions to turn off by name, here and in sessions of the file: ``constant_embeddings``, ``patch_matmul``,
        ``layer_norm``, ``gelu``, ``bias_skip_layer_norm``, ``skip_layer_norm``, ``batch_first``, ``attention``,
        ``nan_guard``, ``idle_masks``, ``no_padding``, ``straight_keys``, ``dead_tokens``, ``scale_in_weights``,
        ``packed_qkv``, ``embed_layer_norm``, ``bias_gelu``, ``gelu_approximation``.
    enable : iterable of str
        Fusions to make beyond those the target wants, by the same names.
    attention : str, default "auto"
        ``"mha"``: MultiHeadAttention; ``"attention"``: Attention; ``"auto"``: what the target wants.
    padding : bool, default True
        False states that every token of every text is real: the mask leaves the attention of a model for texts
        (the move ``no_padding``). Mask inputs stay, so that feeds stay valid. Answers for padded texts are then
        wrong, and the card says so.
    offline : bool, default False
        Also run ONNX Runtime's own optimizations now and save their result, so that sessions load without optimizing
        again. Such a file loads only on this kind of CPU, this ONNX Runtime and `target`: see
        `onnx_lab.runtime.offline`. Make it last; no other transform takes it.
    name : str, optional
        Default ``"<name>-optimized"``.

    Returns
    -------
    Model
        Its card says how many attention blocks were fused, of how many, and why the others were not.

    Raises
    ------
    BadInput
        For an unknown fusion, form or target.
    ProviderError
        With `offline`, when the target does not run here.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> fast = lab.optimize(lab.samples.tiny())
    >>> fast.lineage[-1].notes["attention_blocks"]
    {'found': 0, 'fused': 0}
    """
    where = Target.of(target)
    off, on = names("disable", disable, fusions.names()), names("enable", enable, fusions.names())
    if both := set(off) & set(on):
        raise BadInput(f"{', '.join(sorted(both))} in disable and in enable", accepted="one of the two")
    one_of("attention", attention, _FORMS)
    if not padding and "no_padding" in off:
        raise BadInput("padding=False and 'no_padding' in disable", accepted="one of the two")
    refuse_frozen(m, "optimize")
    asked = {"disable": off, "enable": on, "attention": attention if attention != "auto" else "", "offline": offline}
    options = {"target": str(where) if offline else where.provider, **{k: v for k, v in asked.items() if v}}
    if not padding:
        options["padding"], on = False, (*on, "no_padding")
    made_name = name or f"{m.name}-optimized"

    def body() -> Made:
        with quick_rules():
            made = _body(m, where, off, on, attention)
        return freeze(made, where) if offline else made

    return produce("optimize", options_json(**options), body, tools=_TOOLS, name=made_name, parent=m)


def _body(m: Model, target: Target, off: tuple[str, ...], on: tuple[str, ...], form: str) -> Made:
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    model = m.to_ir()
    before, forced = count_nodes(model), form != "auto"
    wanted = [*fusions.wanted(target.provider), *on, *(["attention", "packed_qkv"] if forced else [])]
    if form == "attention" and "dead_tokens" not in on:
        off = (*off, "dead_tokens")  # Attention takes one tensor for all three: no query of its own
    active = [f for f in fusions.FUSIONS if f.name in wanted and f.name not in off]
    packed_form = form if forced else "attention" if target.provider in ("cuda", "directml") else "mha"
    weights = list(model.graph.initializers.values())
    tidy(model)
    fused: dict[str, int] = {}
    left: dict[str, str] = {}
    for fusion in active:
        RemoveUnusedNodesPass()(model)  # what a step left behind would still count as a reader of its inputs
        if fusion.name == "packed_qkv":
            fused["packed_qkv"] = pack_qkv(model, packed_form)
        else:
            fused[fusion.name] = fusion.apply(model)
        if not fused[fusion.name] and (why := fusion.why_not(model)):
            left[fusion.name] = why
    settle(model)
    _let_go(weights, model)
    fill_scopes(model)
    done, still_open = len(fused_blocks(model.graph)), len(open_blocks(model.graph))
    on_purpose = "attention" not in wanted
    reasons = explain.unfused(model, disabled="attention" in off, left_to=target.provider if on_purpose else "")
    after = count_nodes(model)
    notes: dict[str, Any] = {
        "fused": {k: v for k, v in fused.items() if v},
        "attention_blocks": {"found": done + still_open, "fused": done},
        "left": left,
        "unfused": [r.to_json() for r in reasons],
        "nodes": {"before": before.nodes, "after": after.nodes},
    }
    hints = _hints(m, model, active, off)
    notes["say"] = [
        *_attention_sentences(done, done + still_open, reasons),
        _others(fused),
        "left out: " + "; ".join(f"{name} ({why})" for name, why in left.items()) if left else "",
        _padding_sentence(fused.get("no_padding", 0)),
        size_sentence(before, after),
        "changed nothing: it found nothing to fuse, fold or drop"
        if before == after and not any(fused.values())
        else "",
        *_hint_sentences(hints),
    ]
    notes["say"] = [s for s in notes["say"] if s]
    return Made(model, notes, {SESSION_KEY: json.dumps(hints)} if hints else {})


def _let_go(weights: Iterable[ir.Value], model: ir.Model) -> None:
    """Of weights that are gone: onnxscript's matchers keep the last graph they saw, and one weight keeps its file."""
    for value in weights:
        if model.graph.initializers.get(value.name or "") is not value:
            value.const_value = None


def _hints(m: Model, model: ir.Model, active: list[fusions.Fusion], off: tuple[str, ...]) -> dict[str, Any]:
    """What sessions of the file are told: what was not wanted here is not to be fused at load either."""
    unwanted = [f for f in fusions.FUSIONS if f.name in off]
    made = {f.name for f in active}
    normalizes = any(n.op_type == "LayerNormalization" for n in model.graph)
    if normalizes and "attention" in made and not made & {"skip_layer_norm", "bias_skip_layer_norm"}:
        unwanted += [f for f in fusions.FUSIONS if f.name == "skip_layer_norm" and f not in unwanted]
    hints = m.session_hints
    disabled = [*hints.get("disabled_optimizers", []), *(n for f in unwanted for n in f.at_load)]
    return {**hints, "disabled_optimizers": list(dict.fromkeys(disabled))} if disabled else hints


def _attention_sentences(done: int, found: int, reasons: list[explain.Unfused]) -> list[str]:
    if not found:
        return ["no attention block in this graph"]
    return [f"{done} of {found} attention blocks fused", *explain.sentences(reasons, found)]


def _others(fused: dict[str, int]) -> str:
    said = [f"{k} {v}" for k, v in fused.items() if v and k != "attention"]
    return "also fused: " + ", ".join(said) if said else ""


def _padding_sentence(blocks: int) -> str:
    if not blocks:
        return ""
    said = f"{blocks} attention blocks compute without a mask"
    return f"{said}: answers are right only for inputs without padding; mask inputs stay, and are no longer read there"


def _hint_sentences(hints: dict[str, Any]) -> list[str]:
    if disabled := hints.get("disabled_optimizers"):
        return [f"sessions of this file leave out {', '.join(disabled)} (a hint that it carries)"]
    return []


def plain_code(
    *,
    target: str = "cpu",
    disable: Iterable[str] = (),
    enable: Iterable[str] = (),
    attention: str = "auto",
    padding: bool = True,
    offline: bool = False,
) -> str:
    """The plain code that an optimize step amounts to: ``model.onnx`` in, ``model-optimized.onnx`` out.

    Examples
    --------
    >>> print(plain_code(target="openvino").splitlines()[0])
    import onnx_ir as ir
    """
    from onnx_lab.transforms._optimize_code import code

    provider = Target.of(target.split("[")[0]).provider
    wanted = [
        *fusions.wanted(provider),
        *enable,
        *(["attention"] if attention != "auto" else []),
        *(["no_padding"] * (not padding)),
    ]
    off = set(disable)
    active = [f.name for f in fusions.FUSIONS if f.name in wanted and f.name not in off]
    as_attention = attention == "attention" or (attention == "auto" and provider in ("cuda", "directml"))
    unwanted = [n for f in fusions.FUSIONS if f.name in off for n in f.at_load]
    if provider == "cpu" and "skip_layer_norm" not in active:
        unwanted = list(dict.fromkeys([*unwanted, "SkipLayerNormFusion"]))
    return code(active, as_attention, unwanted, offline)
