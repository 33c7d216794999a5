"""Which definitions of the package a function depends on, and what their code is: the part of a cache key that is code.

A result depends on the function that computed it and on what that function reaches: functions, classes and constants,
each looked at by itself, so that a change in a module stales what uses the changed definition and nothing else. Names
are followed through the syntax trees; comments, formatting, docstrings and the messages of errors do not count.

Objects have no types here, so an attribute is taken for a member of every class that is in reach and has one of that
name: too much may count, never too little. (What is reached by a name made at run time is not seen.)

The sources are those of the moment at which this module was imported: the code that runs. `check_unchanged` says where
a file has changed since.
"""

import ast
import contextlib
import copy
import dis
import functools
import hashlib
import importlib.util
import itertools
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

from unlearnlib.errors import UserError, nearest
from unlearnlib.paths import ROOT

PACKAGE = ROOT / "unlearnlib"

# What carries results, names mistakes and makes keys: what a result is does not depend on it.
CARRIERS = frozenset(
    f"unlearnlib.{name}"
    for name in (
        *("errors", "paths", "cache", "fingerprint", "definitions", "engine.progress"),
        *(f"experiment:Experiment.{name}" for name in ("table", "code", "identity", "of", "fingerprint")),
        "experiment:Variant.identity",
    )
)
# Tables of things that are looked up by name: of these an entry counts only where its name is written in the code.
NAMED = frozenset({"unlearnlib.unlearning.methods:METHODS", "unlearnlib.models:LAYERS"})

STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]

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


def sources(package: Path = PACKAGE) -> Sources:
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
            _of_package.cache_clear()


def check_unchanged(modules: Iterable[str]) -> None:
    """Raise UserError where the file of one of these modules is not the one that this process has imported."""
    changed = sources().changed(set(modules))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        name = changed[0].replace(".", "/")
        raise UserError(f"restart the kernel: {name}.py{more} changed since it was imported; the old code still runs")


def of(*roots: "str | Callable | ast.AST", without: Iterable[str] = (), package: Path = PACKAGE) -> dict[str, str]:
    """Return the code that `roots` depend on: hashes by "module:definition", in no particular order.

    A root is a function or class, the name of a module ("unlearnlib.training": all of it) or of a definition
    ("unlearnlib.jobs:train"), or the syntax tree of a notebook's cell. Functions that are not the package's, such as
    those of a notebook, count with their own code, what they use of the package, and the values of the variables that
    they take from outside. `without` names modules and definitions that do not count (CARRIERS never do). Raises
    UserError for a module or definition that the package does not have, and for a variable whose value cannot be told.
    """
    outside = _Outside(package)
    outside.cells([root for root in roots if isinstance(root, ast.AST)])
    for root in roots:
        if not isinstance(root, str | ast.AST):
            outside.see(root, getattr(root, "__name__", "it"))
    boundary = frozenset(without) | CARRIERS
    reached = {root for root in outside.roots if not boundary & {root, root.partition(":")[0]}}
    wanted = tuple(sorted(reached | {root for root in roots if isinstance(root, str)}))
    known = _of_package(wanted, frozenset(outside.attributes), frozenset(outside.texts), boundary, package)
    return {**known, **outside.found}


def attributes_of(function: Callable) -> frozenset[str]:
    """Return the names of the attributes that code outside the package asks for, such as `live_step` of a profile."""
    outside = _Outside(PACKAGE)
    outside.see(function, getattr(function, "__name__", "it"))
    return frozenset(outside.attributes)


def replaced(parts: Iterable[str], package: Path = PACKAGE) -> dict[str, str]:
    """Return what stands for those of these definitions that this process has replaced since it imported them: a
    function or method by another one, a variable by another plain value; hashes by "replaced module:definition"."""
    outside = _Outside(package)
    for part in parts:
        module, _, name = part.partition(":")
        if module not in sys.modules or not sources(package).has(module) or not name or "#" in name:
            continue
        first, _, member = name.partition(".")
        owner: Any = sys.modules[module]
        known = sources(package).module(module).definitions.get(first, [None])[0]
        live = vars(owner).get(first)
        if isinstance(live, type) and member:
            live = vars(live).get(member)
            live = getattr(live, "fget", None) or getattr(live, "func", live)
        if live is None or known is None:
            continue
        if known.value is not None and not member:
            if live != known.value:
                outside.found[f"replaced {part}"] = joblib.hash(live)[:16]
            continue
        live = getattr(live, "__func__", live)
        if isinstance(live, types.FunctionType | type) and (live.__module__, live.__qualname__) != (module, name):
            outside.see(live, part)
            outside.found[f"replaced {part}"] = live.__qualname__
    return outside.found


def code(*roots, **options) -> str:
    """Return a sha256 that stands for what `of` returns."""
    return combined(of(*roots, **options))


def combined(parts: Mapping[str, str]) -> str:
    """Return a sha256 that stands for hashes by name, whatever their order."""
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


# Following names


@functools.lru_cache(maxsize=4096)
def _of_package(
    roots: tuple[str, ...], attributes: frozenset[str], texts: frozenset[str], boundary: frozenset[str], package: Path
) -> dict[str, str]:
    return _Walk(sources(package), set(attributes), set(texts), boundary).parts(roots)


class _Walk:
    """One walk through the definitions that some roots reach."""

    def __init__(self, read: Sources, attributes: set[str], texts: set[str], boundary: frozenset[str]):
        self.read, self.boundary = read, boundary
        self.parts_found: dict[str, str] = {}
        self.attributes, self.texts = attributes, texts
        self.open: list[tuple[str, Definition]] = []  # classes and named tables: members may still come in
        self.waiting: list[tuple[str, Definition]] = []
        self.seen_modules: set[str] = set()

    def parts(self, roots: tuple[str, ...]) -> dict[str, str]:
        for root in roots:
            name, _, inner = root.partition(":")
            if not self.read.has(name):
                known = sorted(self.read.texts)
                raise UserError(f"no module {name!r} in {self.read.package.name}; {nearest(name, known)}")
            if root in NAMED:  # the table itself is meant, not a row of it
                self.whole(root, self.read.module(name).definitions[inner][0])
            elif inner:
                self.name(name, tuple(inner.split(".")), direct=True)
            else:
                self.module(name, direct=True)
        while self.waiting:
            self.follow()
            if not self.waiting:
                self.enter_members()
        return self.parts_found

    def add(self, label: str, definition: Definition) -> None:
        if label not in self.parts_found and label not in self.boundary:
            self.parts_found[label] = definition.digest[:16]
            self.waiting.append((label, definition))

    def follow(self) -> None:
        label, definition = self.waiting.pop()
        module = label.partition(":")[0]
        self.attributes |= definition.attributes
        self.texts |= definition.texts
        if definition.members:
            self.open.append((label, definition))
        for chain in definition.names:
            self.name(module, chain)

    def enter_members(self) -> None:
        """Take in the members that some code in reach may ask for: everything of a named table, where it is meant."""
        texts = "\n".join(self.texts)
        for label, owner in list(self.open):
            for name, member in owner.members.items():
                named = label.split("#")[0] in NAMED
                if named:
                    wanted = name in texts
                else:
                    wanted = name in self.attributes or (name.startswith("__") and name.endswith("__"))
                if wanted:
                    self.add(f"{label}.{name}", member)

    def module(self, name: str, direct: bool = False) -> None:
        """Take in all of a module."""
        if (name in self.boundary and not direct) or name in self.seen_modules:
            return
        self.seen_modules.add(name)
        self.ran(name)
        for inner, definitions in self.read.module(name).definitions.items():
            for number, definition in enumerate(definitions):
                self.whole(f"{name}:{inner}" + f"#{number}" * bool(number), definition)

    def whole(self, label: str, definition: Definition) -> None:
        self.add(label, definition)
        for inner, member in definition.members.items():
            self.add(f"{label}.{inner}", member)

    def ran(self, name: str) -> None:
        """Take in what runs when a module is imported beside its definitions."""
        loose = self.read.module(name).loose
        if loose.digest:
            self.add(f"{name}:", loose)
        if "." in name and self.read.has(name.rpartition(".")[0]):
            parent = name.rpartition(".")[0]
            if f"{parent}:" not in self.parts_found and parent not in self.boundary:
                self.ran(parent)

    def name(self, module: str, chain: Chain, direct: bool = False) -> None:
        """Take in what a dotted name means in a module, as far as it is the package's."""
        known, first = self.read.module(module), chain[0]
        if not direct and (module in self.boundary or f"{module}:{first}" in self.boundary):
            return
        for number, definition in enumerate(known.definitions.get(first, ())):
            label = f"{module}:{first}" + f"#{number}" * bool(number)
            self.ran(module)
            self.add(label, definition)
            if len(chain) > 1 and chain[1] in definition.members:
                self.add(f"{label}.{chain[1]}", definition.members[chain[1]])
            elif direct and len(chain) > 1 and definition.members:
                raise UserError(f"no {'.'.join(chain)!r} in {module}: {nearest(chain[1], definition.members)}")
        if direct and first not in known.definitions and first not in known.imports:
            raise UserError(f"no {first!r} in {module}: {nearest(first, known.definitions)}")
        for target in known.imports.get(first, ()):
            self.target(target, chain[1:])

    def target(self, target: str, rest: Chain) -> None:
        """Take in what an imported name means, followed by `rest`."""
        if self.read.has(target):
            if target in self.boundary:
                return
            if not rest:
                self.module(target)
            elif self.read.has(f"{target}.{rest[0]}"):
                self.target(f"{target}.{rest[0]}", rest[1:])
            else:
                self.name(target, rest)
            return
        owner, _, inner = target.rpartition(".")
        if owner and self.read.has(owner):
            self.name(owner, (inner, *rest))


# Reading modules


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
    return Module(definitions, _imports(tree, name, is_package), body)


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
    reader = _Reader()
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


class _Reader(ast.NodeVisitor):
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


def _imports(tree: ast.AST, name: str, is_package: bool) -> dict[str, list[str]]:
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


# Functions and cells that are not the package's


@dataclass
class _Outside:
    """What code outside the package comes to: its own hashes, its roots in the package, what it asks for by name."""

    package: Path
    found: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def cells(self, cells: list[ast.AST]) -> None:
        """Take in a notebook's cells: what they use of the package (their own text is hashed as it stands)."""
        reader, imports = _Reader(), {}
        for cell in cells:
            reader.visit(cell)
            for own, targets in _imports(cell, "", False).items():
                imports.setdefault(own, []).extend(targets)
        self.attributes |= reader.attributes
        self.texts |= reader.texts
        for chain in reader.names:
            for target in imports.get(chain[0], ()):
                self.use(target, chain[1:])

    def use(self, target: str, rest: Chain) -> None:
        """Take in what a dotted name means in the package, if it is the package's."""
        read = sources(self.package)
        if not read.has(target):
            owner, _, inner = target.rpartition(".")
            if owner and read.has(owner):
                self.use(owner, (inner, *rest))
        elif rest and read.has(f"{target}.{rest[0]}"):
            self.use(f"{target}.{rest[0]}", rest[1:])
        elif rest:
            module = read.module(target)
            known = rest[0] in module.definitions or rest[0] in module.imports
            self.roots.add(f"{target}:{rest[0]}" if known else target)
        elif target != self.package.name:
            self.roots.add(target)

    def see(self, value: Any, name: str) -> None:
        """Take in a value that code uses: a definition of the package, other code, or data; `name` is for errors."""
        value = getattr(value, "__func__", value)  # of a bound method its function
        if not isinstance(value, types.FunctionType | type):
            value = getattr(value, "__wrapped__", value)  # of a cached function what it caches
        if isinstance(value, functools.partial):
            for number, inner in enumerate((value.func, *value.args, *value.keywords.values())):
                self.see(inner, f"{name}({number})")
        elif isinstance(value, types.ModuleType):
            self.use(value.__name__, ())
        elif isinstance(value, types.FunctionType | type) and sources(self.package).has(value.__module__):
            self.roots.add(f"{value.__module__}:{_outermost(value.__qualname__)}")
        elif isinstance(value, types.FunctionType):
            self.function(value)
        elif isinstance(value, type):
            for inner, member in vars(value).items() if _is_own(value) else ():
                member = getattr(member, "fget", None) or getattr(member, "func", member)  # properties, cached or not
                if isinstance(member, types.FunctionType) or not inner.startswith("__"):
                    self.see(member, f"{name}.{inner}")
        elif not isinstance(value, types.BuiltinFunctionType):
            self.data(value, name)

    def function(self, function: types.FunctionType) -> None:
        """Take in a function by what it does, and what it takes from outside by what that is."""
        if _installed(function.__code__.co_filename):
            return
        label = f"{function.__module__}:{function.__qualname__}"
        digest = _digest(_instructions(function.__code__, function.__doc__))
        if self.found.get(label) == digest:
            return
        self.found[label if label not in self.found else f"{label}, {digest}"] = digest
        for code in (function.__code__, *_inner(function.__code__)):
            instructions = list(dis.get_instructions(code))
            self.texts |= {constant for constant in code.co_consts if isinstance(constant, str)}
            self.attributes |= {str(one.argval) for one in instructions if one.opname in ("LOAD_ATTR", "LOAD_METHOD")}
            for number, one in enumerate(instructions):
                if one.opname in ("LOAD_GLOBAL", "LOAD_NAME") and one.argval in function.__globals__:
                    chain = itertools.takewhile(
                        lambda after: after.opname in ("LOAD_ATTR", "LOAD_METHOD"), instructions[number + 1 :]
                    )
                    value = function.__globals__[one.argval]
                    if isinstance(value, types.ModuleType):
                        self.use(value.__name__, tuple(str(after.argval) for after in chain))
                    else:
                        self.see(value, one.argval)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.see(cell.cell_contents, name)
        for number, value in enumerate((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())):
            self.see(value, f"default {number} of {function.__name__}")

    def data(self, value: Any, name: str) -> None:
        """Take in a value: an experiment by what it is of (`identity`), anything else by its content."""
        kind = type(value)
        if isinstance(value, list | tuple | set | frozenset | dict) and any(map(_is_no_data, _inside(value))):
            for number, one in enumerate(_inside(value)):
                self.see(one, f"{name}[{number}]")
            return
        if sources(self.package).has(kind.__module__):
            self.roots.add(f"{kind.__module__}:{_outermost(kind.__qualname__)}")
        elif _is_own(kind):  # an object by its class and what it holds
            self.see(kind, kind.__name__)
            for inner, one in getattr(value, "__dict__", {}).items():
                self.see(one, f"{name}.{inner}")
            return
        identity = getattr(value, "identity", None)
        if isinstance(identity, Mapping):
            self.found[f"={name}"] = _digest(sorted(identity.items()))
            return
        try:
            if kind.__module__.startswith(("torch", "transformers")):
                raise TypeError("a state that no key can hold")
            self.found[f"={name}"] = joblib.hash(value)[:16]
        except Exception as error:  # whatever a foreign object raises when it is pickled
            raise UserError(
                f"what is kept would depend on {name!r}, a {kind.__name__} that cannot be told from another one "
                f"({type(error).__name__}): make it inside the function, from plain data"
            ) from None


def _is_own(kind: type) -> bool:
    """Tell whether a class is written by the user: in a notebook, or in a file that is no library's."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "__main__" or not _installed(file)


def _is_no_data(value: Any) -> bool:
    return callable(value) or isinstance(getattr(value, "identity", None), Mapping)


def _inside(value: Any) -> list:
    return list(value.values() if isinstance(value, dict) else value)


def _installed(file: str | None) -> bool:
    """Tell whether a file is Python's or a library's (or there is none): of these no code counts."""
    return file is None or "site-packages" in file or "dist-packages" in file or file.startswith(STANDARD_LIBRARY)


def _outermost(qualname: str) -> str:
    """Return the definition in which a function stands: `Experiment.at_step.<locals>.compute` is in the method."""
    return ".".join(qualname.partition(".<locals>")[0].split(".")[:2])


def _inner(code: types.CodeType) -> Iterator[types.CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield constant
            yield from _inner(constant)


def _instructions(code: types.CodeType, doc: str | None = None) -> tuple:
    """Return what a function does, without where it stands and what its docstring says."""
    constants = [_instructions(one) if isinstance(one, types.CodeType) else one for one in code.co_consts]
    shown = tuple(one for one in constants if doc is None or one != doc)
    return code.co_code.hex(), shown, code.co_names, code.co_varnames, code.co_freevars


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


sources()
