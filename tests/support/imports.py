"""What a file imports, itself and through the package: when it is loaded, or later, in a function that runs."""

import ast
import re
import sys
from pathlib import Path

from tests.support import ROOT


def imported(path):
    """Pairs of a module's dotted name and whether it is imported later.

    ``find_spec("x")`` and an entry of a registry count as later.
    """
    text = Path(path).read_text()
    if Path(path).suffix != ".py":  # the rules are no Python
        text = _python_imports(text)
    return list(_walk(ast.parse(text).body, later=False))


def _python_imports(text):
    """The import statements of a file of rules, those in parentheses too."""
    lines, open_bracket = [], False
    for line in text.splitlines():
        if open_bracket or line.startswith(("import ", "from ")):
            lines.append(line)
            open_bracket = (open_bracket or "(" in line) and ")" not in line
    return "\n".join(lines)


def _walk(nodes, later):
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((alias.name, later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, later
            if node.module.split(".")[0] == "smgicnet":
                yield from ((f"{node.module}.{alias.name}", later) for alias in node.names)
        elif isinstance(node, ast.Constant) and re.fullmatch(r"smgicnet(\.\w+)+:\w+", str(node.value)):
            yield node.value.partition(":")[0], True  # an entry of a registry
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("find_spec"):
            yield from ((one.value, True) for one in node.args if isinstance(one, ast.Constant))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(ast.iter_child_nodes(node), later or inside)


def module_file(name):
    """The file of a module of this checkout, or None."""
    base = ROOT / Path(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def requirements(path):
    """Dotted names of the third-party modules that a file needs to be loaded, and of those that it may need later.

    Both directly and through the modules of this package.
    """
    needed, perhaps, seen = set(), set(), {}
    todo = [(Path(path), False)]
    while todo:
        file, after = todo.pop()
        if seen.get(file, 2) <= after:  # seen before, and then no later than now
            continue
        seen[file] = after
        for name, later in imported(file):
            parts, later = name.split("."), later or after
            if parts[0] == "smgicnet":  # a module brings the packages that it is in
                files = [module_file(".".join(parts[:n])) for n in range(1, len(parts) + 1)]
                todo += [(one, later) for one in files if one]
            elif parts[0] not in sys.stdlib_module_names:
                (perhaps if later else needed).add(name)
    return needed, perhaps - needed
