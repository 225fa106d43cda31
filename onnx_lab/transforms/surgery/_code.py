"""Lines that the plain code of several edits shares."""

from __future__ import annotations

from collections.abc import Sequence

_SCOPES = '"pkg.torch.onnx.name_scopes"'


def program(edit: str, *lines: str, imports: Sequence[str] = ()) -> str:
    """A whole program: ``model.onnx`` in, ``model-<edit>.onnx`` out.

    Examples
    --------
    >>> print(program("drop", "model.graph.sort()").splitlines()[-1])
    ir.save(model, "model-drop.onnx")
    """
    named = [i for i in imports if not i.startswith("import")]
    plain = {"import onnx_ir as ir", PASSES, *(i for i in imports if i.startswith("import"))}
    body = [line for block in lines for line in block.splitlines()]
    return "\n".join([*named, *sorted(plain), "", 'model = ir.load("model.onnx")', *body, *ending(edit)])


PASSES = "import onnx_ir.passes.common as passes"


def ending(edit: str) -> list[str]:
    """Lines that infer the shapes anew and save the file."""
    return ["passes.ShapeInferencePass()(model)", f'ir.save(model, "model-{edit.replace("_", "-")}.onnx")']


#: What `chosen` needs imported.
FNMATCH = "from fnmatch import fnmatchcase"


def chosen(words: Sequence[str]) -> str:
    """Lines that find nodes by name, operator or glob, or by the module that PyTorch's exporter notes."""
    return "\n".join(
        [
            f"wanted = {list(words)!r}",
            "chosen = [",
            "    node for node in list(model.graph.all_nodes())",
            '    if any(fnmatchcase(text, w) for w in wanted for text in (node.name or "", node.op_type))',
            f'    or any(repr(w) in node.metadata_props.get({_SCOPES}, "") for w in wanted)',
            "]",
        ]
    )
