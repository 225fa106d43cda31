"""onnxscript's rewrite rules, asked only about the nodes that they could match: the same graphs, sooner.

A rule set asks each of its rules about each node, and a rule begins every answer by setting up a match: of the 90,000
answers that the export of a BERT-base takes, nearly all are no at the first look, the operator's name. A pattern with
two outputs even lists the whole graph before it looks. Here the name is looked at first.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any

_one_at_a_time = threading.RLock()


@contextlib.contextmanager
def quick_rules() -> Iterator[None]:
    """Within it rules are asked quickly; outside, and without onnxscript's rewriter as it is known, as they were.

    Examples
    --------
    >>> from onnxscript.rewriter import pattern
    >>> before = pattern.RewriteRule.try_rewrite
    >>> with quick_rules():
    ...     pattern.RewriteRule.try_rewrite is before
    False
    >>> pattern.RewriteRule.try_rewrite is before
    True
    """
    from onnxscript.rewriter import _matcher, pattern

    with _one_at_a_time:
        rule: Any = pattern.RewriteRule
        original = rule.try_rewrite

        @functools.wraps(original)
        def try_rewrite(self: Any, model: Any, graph: Any, node: Any, *, tracer: Any = None, **options: Any) -> Any:
            # a tracer wants to hear of every failure
            if tracer is None and type(self._matcher) is _matcher.SimplePatternMatcher:
                wanted = self._target_pattern.output_nodes[0].op_identifier()
                if wanted is not None and wanted[:2] != (node.domain, node.op_type):
                    return None
            return original(self, model, graph, node, tracer=tracer, **options)

        rule.try_rewrite = try_rewrite
        try:
            yield
        finally:
            rule.try_rewrite = original
