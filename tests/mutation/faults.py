"""The faults that can be planted in a module: conditions, numbers, statements and results."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.BitOr: ast.BitAnd,
}
SILENT = ("logger.", "log.", "warnings.")
"""How statements start that are not dropped: what is logged is worded freely."""


class Mutant(NamedTuple):
    """A fault: what stands between two columns of a line, and what is planted there."""

    module: str
    line: int
    start: int
    end: int
    text: str

    def plant(self, source: str) -> str:
        """Return the source with the fault. Columns count bytes, as those of `ast` do."""
        lines = source.encode().splitlines(keepends=True)
        line = lines[self.line - 1]
        lines[self.line - 1] = line[: self.start] + self.text.encode() + line[self.end :]
        return b"".join(lines).decode()


def find_mutants(module: str, source: str) -> Iterator[Mutant]:
    """Yield the faults that can be planted in a module, in parts that stand on one line."""
    tree = ast.parse(source)
    skipped = {id(part) for node in ast.walk(tree) for part in _find_skipped(node)}
    for node in ast.walk(tree):
        if id(node) in skipped or not isinstance(node, ast.expr | ast.stmt):
            continue
        if isinstance(node, ast.While):
            yield Mutant(module, node.lineno, node.col_offset, node.col_offset + len("while"), "if")
        for part, text in _change(node):
            if part.lineno == part.end_lineno:
                yield Mutant(module, part.lineno, part.col_offset, part.end_col_offset or 0, text)


def _find_skipped(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is for type checkers or for readers, and whatever is within an f-string."""
    parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
    if (
        isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Expr) and ast.unparse(node).startswith(SILENT))
        or (isinstance(node, ast.FunctionDef) and node.name == "__repr__")
    ):
        parts.append(node)
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        parts.append(node)
    for part in parts:
        if part is not None:
            yield from ast.walk(part)


def _change(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield a part of a statement or expression, and the fault to plant in its place."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.Compare(ops=[op, *others]) if type(op) in SWAPS:
            swapped = ast.Compare(node.left, [SWAPS[type(op)](), *others], node.comparators)
            yield node, f"({ast.unparse(swapped)})"
        case ast.BinOp(op=op) if type(op) in SWAPS:
            swapped = ast.BinOp(node.left, SWAPS[type(op)](), node.right)
            yield node, f"({ast.unparse(swapped)})"
        case ast.BoolOp(op=op, values=[first, *_, last]):
            swapped = ast.BoolOp(SWAPS[type(op)](), node.values)
            for text in (swapped, first, last):
                yield node, f"({ast.unparse(text)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() | float() as value):
            yield node, str(value + 1)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield node, "return None"
        case (
            ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise() | ast.Delete()
        ):
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Continue() | ast.Break():
            yield node, "pass"


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
