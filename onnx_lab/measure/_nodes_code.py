"""The plain code that `lab.nodes` amounts to."""

from __future__ import annotations

from collections.abc import Sequence


def nodes_code(what: str | Sequence[str] = "*", path: str = "model.onnx") -> str:
    """Nodes by name or operator, with attributes and inputs; modules and shapes are the lab's own.

    Examples
    --------
    >>> exec(nodes_code("Relu", str(__import__("onnx_lab").samples.tiny().path)))
    first/relu Relu
      activation h1
    """
    asked = [what] if isinstance(what, str) else list(what)
    return "\n".join(
        [
            "from fnmatch import fnmatchcase",
            "",
            "import onnx",
            "",
            f"graph = onnx.load({path!r}, load_external_data=False).graph",
            "weights = {t.name for t in graph.initializer}",
            f"for pattern in {asked!r}:",
            "    for node in graph.node:",
            "        if not any(fnmatchcase(word, pattern) for word in (node.name, node.op_type, *node.output)):",
            "            continue",
            "        print(node.name, node.op_type)",
            "        for attribute in node.attribute:",
            "            print(f'  {onnx.helper.printable_attribute(attribute)}')",
            "        for name in node.input:",
            "            print('  weight' if name in weights else '  activation', name)",
        ]
    )
