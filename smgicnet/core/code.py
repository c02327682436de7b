"""The source files on which a result depends, found by what its modules import, and their digest.

The digest stands in the parameters of a rule and in the records of a result: a change to a plot makes no network train
again, and a change to a loss does.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

from smgicnet.core.files import PACKAGE, packaged

# Modules, or whole rooms, that jobs import and no result depends on; what they import is left out with them.
BESIDE = {
    "smgicnet.cohort.subjects": "the names of files",
    "smgicnet.config.*": "the completed values stand in the parameters, and are compared themselves",
    "smgicnet.core.code": "it names source files",
    "smgicnet.core.errors": "it says what is wrong",
    "smgicnet.core.files": "files appear whole or not at all",
    "smgicnet.core.interruption": "a job that is stopped goes on",
    "smgicnet.core.layout": "the names of files",
    "smgicnet.core.logs": "what a job says",
    "smgicnet.core.process": "how threads wait for each other",
    "smgicnet.core.provenance": "what stands in a record beside the result",
    "smgicnet.core.registry": "how an entry of a registry is found",
    "smgicnet.methods": "which methods there are; a job names the module of its own",
    "smgicnet.publication.figures.registry": "which figures there are; a job names the function of its own",
}
# Further ones of jobs that start from prepared images.
PREPARED = {
    "smgicnet.imaging.images": "prepared images are read as they were written",
    "smgicnet.imaging.headers": "the same",
    "smgicnet.imaging.placement": "the same",
    "smgicnet.imaging.affine_geometry": "the same",
}
# Further ones of a training.
TRAINING = PREPARED | {
    "smgicnet.scoring.*": "validation looks on, and changes no weight",
    "smgicnet.registration.refinement": "it follows a trained network",
    "smgicnet.registration.views": "the same",
    "smgicnet.registration.detail": "the same",
    "smgicnet.registration.evidence": "the same",
    "smgicnet.methods.tissues": "the same",
    "smgicnet.methods.verdict": "the same",
}
# Files beside the modules that read them.
DATA = {
    "smgicnet.methods.tissues": ("methods/shipped/tissues/brain-t1-2mm.pt",),
    "smgicnet.methods.verdict": ("methods/shipped/verdict.json",),
    "smgicnet.preparation.label_protocols": ("labels/freesurfer.tsv",),
    "smgicnet.preparation.parcels": ("labels/cortex/parcels.tsv",),
}


def source_files(*roots: str | Path, beside: Collection[str] = ()) -> list[Path]:
    """Return the files that ``roots``, dotted names of modules or paths of scripts, are made of, sorted.

    These are the modules of this package that they are or import, early or late, and what lies beside a module that is
    no Python (styles, templates), but for the rooms and modules in `BESIDE` and ``beside``. The text of a script itself
    is Snakemake's to watch. Raises ``ModuleNotFoundError`` for a module of this package that there is not.
    """
    left_out = {*BESIDE, *beside}
    todo = [_module_file(root) for root in roots if not isinstance(root, Path)]
    scripts = [name for root in roots if isinstance(root, Path) for name in _imports(root)]
    todo += [_module_file(name) for name in scripts if not _is_among(name, left_out)]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            found.update(_data_of(path))
            todo += [_module_file(name) for name in _imports(path) if not _is_among(name, left_out)]
    return sorted(path for path in found if path.suffix != ".py" or not _is_silent(path))


def code_digest(*roots: str | Path, beside: Collection[str] = (), files: Iterable[Path] = ()) -> str:
    """Return the digest of `source_files` and of ``files`` besides."""
    return source_digest([*source_files(*roots, beside=beside), *files])


def function_digest(where: str, beside: Collection[str] = ()) -> str:
    """Return the digest of ``"module:name"``: its text, what it names in its module, and what that one imports.

    A function that is added beside it changes nothing.
    """
    module, _, name = where.partition(":")
    path = _module_file(module)
    lines = path.read_bytes().split(b"\n")
    defined = {one: node for node in _tree(path).body for one in _defined(node)}
    todo, reached = [name], set()
    while todo:
        one = todo.pop()
        if one in defined and one not in reached:
            reached.add(one)
            todo += [node.id for node in ast.walk(defined[one]) if isinstance(node, ast.Name)]
    if name not in reached:
        raise ModuleNotFoundError(f"there is no {name} in {path}", name=where)
    digest = hashlib.sha256()
    for text in sorted(_text(lines, defined[one]) for one in reached):
        digest.update(text + b"\0")
    imported = [one for one in _imports(path) if not _is_among(one, {*BESIDE, *beside})]
    digest.update(code_digest(*imported, beside=beside).encode())
    return digest.hexdigest()[:16]


def _text(lines: list[bytes], node: ast.stmt) -> bytes:
    """The text of a statement, whose ends count bytes; `ast.get_source_segment` splits the file for each one again."""
    own = lines[node.lineno - 1 : node.end_lineno]
    own[-1] = own[-1][: node.end_col_offset]
    return b"\n".join(own)[node.col_offset :]


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]


def source_digest(paths: Iterable[str | Path]) -> str:
    """Return the digest of files' contents and names as seen from the package.

    Raises ``FileNotFoundError`` for a wrong name.
    """
    named = {}
    for path in (Path(os.path.normpath(path)) for path in paths):
        named[path.relative_to(PACKAGE).as_posix() if PACKAGE in path.parents else path.name] = path
    digest = hashlib.sha256()
    for name in sorted(named):
        digest.update(name.encode() + b"\0" + named[name].read_bytes())
    return digest.hexdigest()[:16]


def _is_among(name: str, chosen: Collection[str]) -> bool:
    rooms = [one.removesuffix("*") for one in chosen if one.endswith("*")]
    return name in chosen or any(f"{name}.".startswith(room) for room in rooms)


def _module_file(name: str) -> Path:
    base = PACKAGE.parent / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    raise ModuleNotFoundError(f"there is no module {name} in this package", name=name)


@cache
def _is_ours(name: str) -> bool:
    """Whether a dotted name is that of a module below this package."""
    if not name.startswith("smgicnet."):
        return False
    base = PACKAGE.parent / Path(*name.split("."))
    return base.with_suffix(".py").is_file() or (base / "__init__.py").is_file()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


@cache
def _imports(path: Path) -> tuple[str, ...]:
    """Dotted names of the modules of this package that a file imports, whenever it does."""
    named = set()
    for node in _running_statements(_tree(path)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            named |= {name for name in below if _is_ours(name)} or {node.module}
    return tuple(sorted(filter(_is_ours, named)))


def _running_statements(node: ast.AST) -> Iterator[ast.AST]:
    """All statements, at any depth, but those that a type checker alone reads; no expression holds an import."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _running_statements(child)


@cache
def _is_silent(path: Path) -> bool:
    """Whether a file holds nothing but a docstring, as the `__init__.py` of a room."""
    return all(isinstance(node, ast.Expr) for node in _tree(path).body)


@cache
def _data_of(path: Path) -> tuple[Path, ...]:
    """Files that are read beside the module of that path: of its own folder, or named in `DATA`."""
    if PACKAGE not in path.parents:
        return ()
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    named = tuple(packaged(one) for one in DATA.get(module, ()))
    return named if path.parent == PACKAGE else named + _beside_modules(path.parent)


@cache
def _beside_modules(folder: Path) -> tuple[Path, ...]:
    return tuple(one for one in folder.iterdir() if one.is_file() and one.suffix not in (".py", ".pyc"))
