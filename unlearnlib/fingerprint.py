"""Fingerprints of what a result depends on: code, files, a notebook's source.

A result holds as long as the fingerprint of what it depends on is the same.
"""

import ast
import functools
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearnlib.errors import UserError, nearest
from unlearnlib.paths import ROOT

PACKAGE = ROOT / "unlearnlib"


def code(*modules: str, package: Path = PACKAGE) -> str:
    """Return a sha256 over the named modules of `package` and everything of the package that they import, transitively.

    `modules` are dotted names ("unlearnlib.training"). Comments, formatting and docstrings do not count. Imports are
    found in the syntax tree, also inside functions; one made by name at run time is not seen.
    Raises UserError for a module that the package does not have.
    """
    seen: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        path = _file_of(name, package)
        if path is None:
            raise UserError(f"no module {name!r} in {package.name}; {nearest(name, _modules(package))}")
        seen[name], imported = _digest_and_imports(path.read_bytes(), name, path.name == "__init__.py")
        if "." in name:  # importing a.b runs a/__init__.py first
            waiting.append(name.rpartition(".")[0])
        waiting += _existing(imported, package)
    return hashlib.sha256(json.dumps(sorted(seen.items())).encode()).hexdigest()


def files(*paths: Path | str) -> str:
    """Return a sha256 over the content of these files, in the order given; a folder counts with all that lies in it.

    Only names inside a folder count, not where the file or folder itself lies. Raises FileNotFoundError.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        members = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for member in members:
            name = member.relative_to(path).as_posix() if path.is_dir() else ""
            digest.update(json.dumps([name, hashlib.sha256(member.read_bytes()).hexdigest()]).encode())
    return digest.hexdigest()


def notebook(path: Path | str) -> str:
    """Return a sha256 over a notebook's cell types and sources: not outputs, metadata or execution counts.

    Parameters that papermill injected into an executed copy do not count either.
    """
    return hashlib.sha256(json.dumps(notebook_cells(path)).encode()).hexdigest()


def notebook_cells(path: Path | str) -> list[list[str]]:
    """Return [cell type, source] of every cell of a notebook, without cells that papermill injected."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    return [
        [cell["cell_type"], "".join(cell["source"])]
        for cell in content["cells"]
        if "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
    ]


def notebook_modules(path: Path | str, package: Path = PACKAGE) -> list[str]:
    """Return the names of the package's modules that a notebook's code cells import, sorted.

    Lines of IPython (magics, shell) do not hinder; a cell that Python cannot read is left to fail when it runs.
    """
    found: set[str] = set()
    for cell_type, source in notebook_cells(path):
        if cell_type == "code":
            found.update(_existing(_imports(_cell_tree(source), "", False), package))
    return sorted(found)


def combine(mapping: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for a mapping of JSON values, whatever the order of its keys."""
    text = json.dumps(mapping, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cell_tree(source: str) -> ast.AST:
    try:
        return ast.parse(source)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager  # slow to import, and seldom needed

        try:
            return ast.parse(TransformerManager().transform_cell(source))
        except SyntaxError:
            return ast.Module([], [])


@functools.lru_cache(maxsize=1024)
def _digest_and_imports(source: bytes, name: str, is_package: bool) -> tuple[str, tuple[str, ...]]:
    tree = ast.parse(source, filename=name)
    imported = tuple(_imports(tree, name, is_package))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), imported


def _imports(tree: ast.AST, name: str, is_package: bool) -> list[str]:
    """Return every dotted name that a module imports; `from a import b` counts as a and as a.b."""
    here = name if is_package else name.rpartition(".")[0]
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, here)
            found += [base] + [f"{base}.{alias.name}" for alias in node.names]
    return found


def _existing(names: list[str] | tuple[str, ...], package: Path) -> list[str]:
    return [name for name in names if _file_of(name, package)]


def _file_of(name: str, package: Path) -> Path | None:
    """Return the file of a module of the package, or None where the name is no module of it."""
    first, *rest = name.split(".")
    if first != package.name:
        return None
    base = package.joinpath(*rest)
    for path in (base / "__init__.py", base.with_name(base.name + ".py")):
        if path.is_file():
            return path
    return None


def _modules(package: Path) -> list[str]:
    relative = (path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py"))
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in relative)
