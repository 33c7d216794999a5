"""Fingerprints of what a result depends on: files, a notebook's cells, a mapping of plain values.

A result holds as long as the fingerprint of what it depends on is the same. What code it depends on is found by
unlearnlib.core.definitions.
"""

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unlearnlib.core.errors import UserError


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
    """Return a sha256 over the sources of a notebook's code cells: not prose, outputs, metadata or execution counts.

    Parameters that papermill injected into an executed copy do not count either.
    """
    return hashlib.sha256(json.dumps(code_cells(path)).encode()).hexdigest()


def code_cells(path: Path | str) -> list[str]:
    """Return the source of every code cell of a notebook that is not empty, without what papermill injected."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    sources = (
        "".join(cell["source"])
        for cell in content["cells"]
        if cell["cell_type"] == "code" and "injected-parameters" not in cell.get("metadata", {}).get("tags", [])
    )
    return [source for source in sources if source.strip()]


def notebook_trees(path: Path | str) -> list[ast.AST]:
    """Return the syntax tree of every code cell.

    Lines of IPython (magics, shell) do not hinder; a cell that Python cannot read is left to fail when it runs.
    """
    return [_cell_tree(source) for source in code_cells(path)]


def beside(path: Path | str) -> list[Path]:
    """Return the files in a notebook's own folder that its cells import, and those that these import, sorted.

    Raises SyntaxError for such a file that Python cannot read.
    """
    folder, found = Path(path).parent, set()
    waiting = notebook_trees(path)
    while waiting:
        for node in ast.walk(waiting.pop()):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for file in {folder / f"{name.partition('.')[0]}.py" for name in names} - found:
                if file.is_file():
                    found.add(file)
                    waiting.append(ast.parse(file.read_bytes(), str(file)))
    return sorted(found)


def combine(mapping: Mapping[str, Any]) -> str:
    """Return 16 hexadecimal digits that stand for a mapping of JSON values, whatever the order of its keys; UserError
    for values of another kind, by which no result could be found again."""
    try:
        text = json.dumps(mapping, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"a result cannot be kept under what it depends on: {error}; give plain data") from None
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
