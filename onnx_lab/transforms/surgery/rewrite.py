"""rewrite: the user's own pattern rules, written for onnxscript's rewriter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from onnx_lab._quiet import quiet
from onnx_lab.errors import BadInput, TransformError
from onnx_lab.model import Model
from onnx_lab.transforms.surgery._code import program
from onnx_lab.transforms.surgery._edit import edited
from onnx_lab.transforms.surgery.drop_dead import sweep

if TYPE_CHECKING:
    import onnx_ir as ir
    from onnxscript.rewriter import RewriteRule, RewriteRuleClassBase

#: A rule may fire so often, or four times for each node.
_LEAST = 1000


def rewrite(
    m: Model,
    rules: Any,
    *,
    name: str | None = None,
    check: bool = True,
) -> Model:
    """Rewrite what matches your own rules, and say how often each of them fired.

    A rule is one of onnxscript's rewriter (``onnxscript.rewriter.RewriteRule``, a class of rules, a set), or a pair of
    functions: the pattern, and what to write in its place. At each node the first rule that matches is applied, in
    sub-graphs and functions too.

    Parameters
    ----------
    m : Model
    rules : RewriteRule, RewriteRuleSet, RewriteRuleClassBase, pair of functions, or a list of them
    name : str, optional
        Default ``"<name>-rewrite"``.
    check : bool, default True
        Run both files on random feeds and say how far the answers are apart.

    Returns
    -------
    Model
        The card says ``0 times`` of a rule that never fired, and where it came nearest.

    Raises
    ------
    BadInput
        For what is no rule.
    TransformError
        When a rule fails, or the result is no valid graph.

    Examples
    --------
    >>> import onnx_lab as lab
    >>> def idle(op, x): return op.Relu(op.Identity(x))
    >>> def idle2(op, x): return op.Identity(op.Relu(x))
    >>> def plain(op, x): return op.Relu(x)
    >>> m = lab.surgery.rewrite(lab.samples.tiny(), [(idle2, plain), (idle, plain)])
    >>> m.lineage[-1].notes["say"][0]
    'idle2 → plain: 1 time'
    """
    own = list(_flat(rules))
    titles = _titles(own)
    return edited(
        m, "rewrite", lambda g: _rewrite(g, own, titles), options={"rules": titles}, name=name, check=check,
        cached=False,  # a function has no identity that outlives this Python
    )  # fmt: skip


def _flat(rules: Any) -> Iterable[RewriteRule]:
    """Every form that a rule comes in, as rules."""
    from onnxscript.rewriter import RewriteRule, RewriteRuleClassBase, RewriteRuleSet

    if isinstance(rules, RewriteRule):
        yield rules
    elif isinstance(rules, RewriteRuleSet):
        yield from rules.rules
    elif isinstance(rules, type) and issubclass(rules, RewriteRuleClassBase):
        yield cast("type[RewriteRuleClassBase]", rules).rule()
    elif isinstance(rules, RewriteRuleClassBase):  # a class' rule() makes another; this one may have been set up
        yield RewriteRule(
            rules.pattern, rules.rewrite, rules.check, name=rules.name, remove_nodes=rules.remove_nodes,
            graph_pre_visitor=rules.setup, graph_post_visitor=rules.cleanup, as_function=rules.as_function,
        )  # fmt: skip
    elif isinstance(rules, tuple) and len(rules) == 2 and all(_is_function(r) for r in rules):
        pattern, replacement = rules
        named = "<lambda>" not in (pattern.__name__, replacement.__name__)
        yield RewriteRule(pattern, replacement, name=f"{pattern.__name__} → {replacement.__name__}" if named else None)
    elif isinstance(rules, list | tuple) and rules:
        for rule in rules:
            yield from _flat(rule)
    else:
        raise BadInput(
            f"rules: {rules!r}",
            accepted="onnxscript.rewriter rules, or pairs of functions (pattern, replacement)",
            do="rules=[(pattern, replacement)], each def f(op, x): return op.Relu(x)",
        )


def _is_function(thing: object) -> bool:
    return callable(thing) and hasattr(thing, "__name__") and not isinstance(thing, type)


def _titles(rules: Sequence[RewriteRule]) -> list[str]:
    """A name for each; rules without one are numbered."""
    return [r.name or f"rule {i}" for i, r in enumerate(rules, 1)]


class _Counted:
    """A rule that counts how often it fired, and is otherwise the rule."""

    def __init__(self, rule: RewriteRule, title: str, most: int) -> None:
        self.rule, self.title, self.most, self.fired = rule, title, most, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rule, name)

    def try_rewrite(self, *args: Any, **options: Any) -> Any:
        done = self.rule.try_rewrite(*args, **options)
        self.fired += done is not None
        if self.fired > self.most:
            raise TransformError(
                f"surgery.rewrite: {self.title} fires without end: it matches what it writes",
                do="a condition, or another replacement",
            )
        return done


def _rewrite(model: ir.Model, rules: Sequence[RewriteRule], titles: Sequence[str]) -> list[str]:
    from onnxscript.rewriter import RewriteRuleSet

    most = max(_LEAST, 4 * sum(1 for _ in model.graph.all_nodes()))
    counted: list[Any] = [_Counted(r, t, most) for r, t in zip(rules, titles, strict=True)]
    try:
        with quiet("onnxscript", "onnx_ir"):
            RewriteRuleSet(counted).apply_to_model(model)
    except TransformError:
        raise
    except Exception as e:  # the rules are the user's: whatever they raise is told as theirs
        raise TransformError(f"surgery.rewrite: a rule failed: {type(e).__name__}: {e}") from e
    sweep(model)
    say = []
    for title, rule in zip(titles, counted, strict=True):
        times = f"{title}: {rule.fired} time{'s' * (rule.fired != 1)}"
        say.append(times if rule.fired else f"{times}{_nearest(model, rule.rule)}")
    return say


def _nearest(model: ir.Model, rule: RewriteRule) -> str:
    """Where a rule that never fired came nearest to it, as far as onnxscript's tracer tells."""
    from onnxscript.rewriter import MatchingTracer

    tracer = MatchingTracer()
    try:
        with quiet("onnxscript", "onnx_ir"):
            rule.apply_to_model(model.clone(), tracer=tracer)
    except Exception:  # a reason is a courtesy
        return ""
    near = [info for found in tracer.best_matches_map.values() for info in found]
    if not near:
        ops = Counter(n.op_type for n in model.graph.all_nodes())
        return f"; no node is like the last of its pattern (operators here: {', '.join(ops) or 'none'})"
    reason = (near[0].match_result.reason or "").strip().splitlines()
    return f"; nearest at {near[0].root_node.name}" + (f": {reason[0]}" if reason else "")


def plain_code(*, rules: Any) -> str:
    """The plain code of a rewrite step; the rules are your own.

    Examples
    --------
    >>> print(plain_code(rules=["idle"]).splitlines()[-3])
    print(RewriteRuleSet(rules).apply_to_model(model))
    """
    titles = rules if isinstance(rules, list) and all(isinstance(r, str) for r in rules) else _titles([*_flat(rules)])
    return program(
        "rewrite", f"rules = [...]  # your rules: {', '.join(titles)}",
        "print(RewriteRuleSet(rules).apply_to_model(model))",
        imports=["from onnxscript.rewriter import RewriteRuleSet"],
    )  # fmt: skip
