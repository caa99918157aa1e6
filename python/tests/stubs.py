"""Writes the documentation of the compiled part into its stub, where editors look for it.

    python tests/stubs.py

The doc comments in src/ are what is edited. The stub gives each name its types, by hand, and repeats
the documentation, from the package that is installed; the tests say when it is not current.
"""

import ast
import importlib
import inspect
import pathlib
import textwrap

STUB = pathlib.Path(__file__).parent.with_name("manycast") / "_manycast.pyi"


def documented(stub: str) -> str:
    """The stub with the documentation of each name as it is now."""
    module = importlib.import_module("manycast._manycast")
    lines = stub.splitlines()
    # From the end, so that the places before are still right.
    for node, thing in reversed(list(_things(ast.parse(stub), module))):
        _document(lines, node, inspect.getdoc(thing))
    return "\n".join(lines) + "\n"


def _things(tree, holder):
    """Each class, and each function and property that is public, with the object that it describes."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            thing = getattr(holder, node.name)
            yield node, thing
            yield from _things(node, thing)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            # What sets a property has nothing to say beside what gets it.
            if not any(isinstance(it, ast.Attribute) for it in _decorators(node)):
                yield node, getattr(holder, node.name)


def _document(lines, node, text):
    first = node.body[0]
    indent = " " * (node.col_offset + 4)
    quoted = f'"""{text}\n"""' if "\n" in text else f'"""{text}"""'
    new = textwrap.indent(quoted, indent).splitlines()
    start, end = first.lineno - 1, first.end_lineno
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    if isinstance(node, ast.FunctionDef):
        # "..." or the text before is replaced, and may stand behind the name.
        assert is_text and len(node.body) == 1, node.name
        new = [*filter(None, [lines[start][: first.col_offset].rstrip()]), *new]
    elif not is_text:
        start = end = min([first.lineno, *(it.lineno for it in _decorators(first))]) - 1
    lines[start:end] = new if not "".join(lines[end : end + 1]) else [*new, ""]


def _decorators(node):
    return getattr(node, "decorator_list", [])


if __name__ == "__main__":
    STUB.write_text(documented(STUB.read_text()))
