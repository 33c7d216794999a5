"""The sources of the package, read into definitions: what each is, which names it uses, what it asks objects for.

The sources are those of the moment at which this module was imported: the code that runs. Comments, formatting,
docstrings and the messages of errors are left out.
"""

import ast
import contextlib
import copy
import hashlib
import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnlib.core.paths import ROOT

PACKAGE = ROOT / "unlearnlib"

# Tables of things that are looked up by name: of these an entry counts only where its name is written in the code.
NAMED = frozenset(
    {
        "unlearnlib.methods.named:METHODS",
        "unlearnlib.models.layers:LAYERS",
        "unlearnlib.measures.evaluation:METRICS",
    }
)

Chain = tuple[str, ...]


@dataclass
class Definition:
    """One definition: a hash of its code, the dotted names it uses, the attributes it asks of objects, its texts."""

    digest: str
    names: frozenset[Chain]
    attributes: frozenset[str]
    texts: frozenset[str]
    members: dict[str, "Definition"] = field(default_factory=dict)  # of a class its methods, of a named table its rows
    value: Any = None  # of a variable the plain value that it is given, if it is one


@dataclass
class Module:
    """What a module defines, by name; what it imports, by the name it has there; and its other statements."""

    definitions: dict[str, list[Definition]]
    imports: dict[str, list[str]]
    loose: Definition


class Sources:
    """The sources of a package as they are at one moment."""

    def __init__(self, package: Path):
        self.package = package
        self.files = _files(package)
        self.stats = {name: _stat(path) for name, path in self.files.items()}
        self.texts = {name: path.read_bytes() for name, path in self.files.items()}
        self.modules: dict[str, Module] = {}

    def has(self, name: str) -> bool:
        """Tell whether the package has a module of this name."""
        return name in self.texts

    def module(self, name: str) -> Module:
        """Return a module read into its definitions. Raises SyntaxError where Python cannot read it."""
        if name not in self.modules:
            path = self.files[name]
            self.modules[name] = _read(ast.parse(self.texts[name], str(path)), name, path.name == "__init__.py")
        return self.modules[name]

    def changed(self, names: Iterable[str]) -> list[str]:
        """Return those of the named modules whose files are no longer what they were, sorted."""
        suspects = (name for name in names if name in self.files and _stat(self.files[name]) != self.stats[name])
        return sorted(
            name
            for name in suspects
            if not self.files[name].is_file() or self.files[name].read_bytes() != self.texts[name]
        )


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


_sources: dict[Path, Sources] = {}


def current(package: Path = PACKAGE) -> Sources:
    """Return the sources of a package, as they were when they were first asked for (see look_again)."""
    if package not in _sources:
        _sources[package] = Sources(package)
    return _sources[package]


def look_again() -> None:
    """Read the sources anew where they have changed: for a process that plans, or checks what it has done."""
    for package, known in list(_sources.items()):
        files = _files(package)
        if {name: _stat(path) for name, path in files.items()} != known.stats:
            del _sources[package]


# Reading a module


def _files(package: Path) -> dict[str, Path]:
    found = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _read(tree: ast.Module, name: str, is_package: bool) -> Module:
    definitions: dict[str, list[Definition]] = {}
    loose: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node):
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            definitions.setdefault(node.name, []).append(_definition(node))
        elif isinstance(node, ast.ClassDef):
            definitions.setdefault(node.name, []).append(_class(node))
        elif targets := _assigned(node):
            definition = _table(node) if any(f"{name}:{target}" in NAMED for target in targets) else _definition(node)
            if len(targets) == 1 and node.value is not None:
                with contextlib.suppress(ValueError, TypeError, SyntaxError):
                    definition.value = ast.literal_eval(node.value)
            for target in targets:
                definitions.setdefault(target, []).append(definition)
        else:
            loose.append(node)
    runs = [node for node in loose if not _runs_not(node)]
    body = _definition(ast.Module(runs, []) if runs else None)
    imports = imports_of(tree, name, is_package)
    for definition in [body, *(one for several in definitions.values() for one in several)]:
        for part in (definition, *definition.members.values()):
            _with_libraries(part, imports, name.partition(".")[0])
    return Module(definitions, imports, body)


def _with_libraries(definition: Definition, imports: dict[str, list[str]], package: str) -> None:
    """Let the digest say what the names of other libraries stand for: `median` may be that of one or of another."""
    used = {
        (chain[0], target)
        for chain in definition.names
        for target in imports.get(chain[0], ())
        if target.partition(".")[0] != package
    }
    if used:
        definition.digest = hashlib.sha256(f"{definition.digest} {sorted(used)}".encode()).hexdigest()


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _runs_not(node: ast.stmt) -> bool:
    """Tell whether a statement is `if TYPE_CHECKING:` with imports alone, or `if __name__ == "__main__":`."""
    if not isinstance(node, ast.If):
        return False
    imports = all(isinstance(one, ast.Import | ast.ImportFrom) for one in node.body)
    return imports or "__name__" in ast.unparse(node.test)


def _assigned(node: ast.stmt) -> list[str]:
    """Return the names that a statement gives values to, none where it is no plain assignment of names."""
    if isinstance(node, ast.AnnAssign):
        return [node.target.id] if isinstance(node.target, ast.Name) else []
    if not isinstance(node, ast.Assign):
        return []
    flat = [
        one
        for target in node.targets
        for one in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
    ]
    return [one.id for one in flat] if all(isinstance(one, ast.Name) for one in flat) else []


def _class(node: ast.ClassDef) -> Definition:
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    rest = [one for one in node.body if one not in functions and not _is_text(one)] or [ast.Pass()]
    header = ast.ClassDef(node.name, node.bases, node.keywords, rest, node.decorator_list)
    if hasattr(node, "type_params"):
        header.type_params = node.type_params
    found = _definition(header)
    members: dict[str, list[ast.AST]] = {}
    for one in functions:  # a property and its setter have one name
        members.setdefault(one.name, []).append(one)
    found.members = {name: _definition(ast.Module(several, [])) for name, several in members.items()}
    return found


def _table(node: ast.Assign | ast.AnnAssign) -> Definition:
    """Return the definition of a dict literal whose rows are looked at one by one."""
    rows = zip(node.value.keys, node.value.values, strict=True)
    found = _definition(ast.Pass())
    found.members = {key.value: _definition(ast.Expr(value)) for key, value in rows}
    return found


def _definition(node: ast.AST | None) -> Definition:
    if node is None:
        return Definition("", frozenset(), frozenset(), frozenset())
    cleaned = _Cleaner().visit(copy.deepcopy(node))
    text = ast.unparse(ast.fix_missing_locations(cleaned))
    reader = Reader()
    reader.visit(cleaned)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return Definition(digest, frozenset(reader.names), frozenset(reader.attributes), frozenset(reader.texts))


class _Cleaner(ast.NodeTransformer):
    """Takes out what decides nothing: docstrings, imports, and what an error says."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        return ast.Raise(raised, None)

    def visit_Import(self, node) -> None:
        return None

    visit_ImportFrom = visit_Import

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(getattr(node, "body", None), list) and not isinstance(node, ast.Module):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                node.body = [one for number, one in enumerate(node.body) if number or not _is_text(one)]
            node.body = node.body or [ast.Pass()]
        return node


class Reader(ast.NodeVisitor):
    """Collects the dotted names, the attributes and the texts of a syntax tree."""

    def __init__(self):
        self.names: set[Chain] = set()
        self.attributes: set[str] = set()
        self.texts: set[str] = set()

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain, at = [node.attr], node.value
        while isinstance(at, ast.Attribute):
            chain.append(at.attr)
            at = at.value
        self.attributes |= set(chain)
        if isinstance(at, ast.Name):
            self.names.add((at.id, *reversed(chain)))
        else:
            self.visit(at)

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add((node.id,))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.add(node.value)
            if node.value.isidentifier():  # getattr(self, "target")
                self.attributes.add(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        self._annotated(node.annotation)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotated(node.annotation)
        for part in (node.target, node.value):
            if part is not None:
                self.visit(part)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._annotated(node.returns)
        node.returns = None
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def _annotated(self, annotation: ast.expr | None) -> None:
        """Read an annotation, also what is written in it as a text: "Variant | str"."""
        for part in ast.walk(annotation) if annotation else ():
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                with contextlib.suppress(SyntaxError):
                    self.visit(ast.parse(part.value, mode="eval").body)
        if annotation:
            self.visit(annotation)


def imports_of(tree: ast.AST, name: str, is_package: bool) -> dict[str, list[str]]:
    """Return what every imported name of a module stands for, also inside functions: dotted names."""
    here = name if is_package else name.rpartition(".")[0]
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                own = alias.asname or alias.name.partition(".")[0]
                found.setdefault(own, []).append(alias.name if alias.asname else own)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = importlib.util.resolve_name("." * node.level + base, here)
            for alias in node.names:
                found.setdefault(alias.asname or alias.name, []).append(f"{base}.{alias.name}")
    return found


current()
