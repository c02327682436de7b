"""Mutants of a module: its source with one sign, bound, order, constant or logical operator changed."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}
BOUNDS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
LOGIC = {ast.And: ast.Or, ast.Or: ast.And}
COMPOSITIONS = ("compose", "compose_affine")  # of functions of this name the first two arguments are exchanged
NUMBERS = ("Tensor", "float", "int", "np.ndarray")  # a function that returns one of these returns its negative
KINDS = ("sign", "bound", "order", "constant", "logic")


@dataclass(frozen=True)
class Mutant:
    """One change of a module: where it is, of which of `KINDS`, and the code before and after it."""

    module: str
    number: int  # among the places of the module, in the order in which they are found
    line: int
    function: str
    kind: str
    before: str
    after: str
    repeated: int  # how many equal changes of the same function stand before it

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.function}: {self.kind}: `{self.before}` -> `{self.after}`"

    def rank(self, seed: int) -> str:
        """Return what a sample is sorted by: a change elsewhere, or a moved line, leaves it as it is."""
        said = (seed, self.module, self.function, self.kind, self.before, self.after, self.repeated)
        return sha256(repr(said).encode()).hexdigest()


@dataclass(frozen=True)
class Place:
    """What can be changed: a node in a tree, and its attributes after the change."""

    shown: ast.AST
    line: int
    function: str
    kind: str
    node: ast.AST
    values: dict[str, object]

    def change(self) -> Callable[[], None]:
        """Change the node where it stands, and return what undoes it."""
        before = {name: getattr(self.node, name) for name in self.values}
        vars(self.node).update(self.values)
        return lambda: vars(self.node).update(before)


def mutants(module: str, source: str) -> list[Mutant]:
    """Return every mutant of a module's ``source``."""
    found, times = [], Counter[tuple[str, ...]]()
    for number, place in enumerate(list(places(ast.parse(source)))):
        before = ast.unparse(place.shown)
        undo = place.change()
        said = (place.function, place.kind, before, ast.unparse(place.shown))
        undo()
        found.append(Mutant(module, number, place.line, *said, times[said]))
        times[said] += 1
    return found


def changed(source: str, number: int) -> ast.Module:
    """Return the tree of ``source`` with the change of this ``number``."""
    tree = ast.parse(source)
    list(places(tree))[number].change()
    return ast.fix_missing_locations(tree)


def places(tree: ast.Module) -> Iterator[Place]:
    """Go through what can be changed; words for a person, types and decorators cannot."""
    for node in tree.body:
        yield from _below(node, "", None)


def _below(node: ast.AST, function: str, returns: str | None) -> Iterator[Place]:
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Assert | ast.Import | ast.ImportFrom):
        return
    parts = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.FunctionDef):
        function, returns = f"{function}.{node.name}".lstrip("."), node.returns and ast.unparse(node.returns)
        parts = [*node.args.defaults, *(one for one in node.args.kw_defaults if one), *node.body]
    elif isinstance(node, ast.ClassDef):
        function, parts = node.name, list(node.body)
    elif isinstance(node, ast.AnnAssign):
        parts = [node.value] if node.value else []
    for kind, values in _changes(node, returns):
        yield Place(_shown(node), getattr(node, "lineno", 0), function, kind, node, values)
    for part in parts:
        if isinstance(part, ast.Constant) and not isinstance(node, ast.FunctionDef | ast.Expr) and _is_number(part):
            yield Place(_shown(node), part.lineno, function, "constant", part, {"value": part.value + 1})
        yield from _below(part, function, returns)


def _shown(node: ast.AST) -> ast.AST:
    """Return the part of a node that is worth to be shown: a loop or a condition without its body."""
    if isinstance(node, ast.For | ast.comprehension):
        return node.iter
    return node.test if isinstance(node, ast.If | ast.While) else node


def _changes(node: ast.AST, returns: str | None) -> Iterator[tuple[str, dict[str, object]]]:
    """Go through the changes of one node: the kind, and its attributes after it."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        if type(node.op) in ARITHMETIC:
            yield "sign", {"op": ARITHMETIC[type(node.op)]()}
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.MatMult):
            yield "order", {"left": node.right, "right": node.left}
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield "sign", {"op": ast.UAdd()}
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "logic", {"operand": ast.UnaryOp(ast.Not(), node.operand)}
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in BOUNDS:
        yield "bound", {"ops": [BOUNDS[type(node.ops[0])](), *node.ops[1:]]}
    elif isinstance(node, ast.BoolOp):
        yield "logic", {"op": LOGIC[type(node.op)]()}
    elif isinstance(node, ast.Call) and _name(node.func) in COMPOSITIONS and len(node.args) > 1:
        yield "order", {"args": [node.args[1], node.args[0], *node.args[2:]]}
    elif isinstance(node, ast.Return) and node.value and returns in NUMBERS:
        yield "sign", {"value": ast.UnaryOp(ast.USub(), node.value)}
    elif isinstance(node, ast.Return) and node.value and returns == "bool":
        yield "logic", {"value": ast.UnaryOp(ast.Not(), node.value)}


def _name(function: ast.expr) -> str:
    return ast.unparse(function).rpartition(".")[2]


def _is_number(node: ast.Constant) -> bool:
    return isinstance(node.value, int | float) and not isinstance(node.value, bool)
