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
import functools
import hashlib
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import joblib

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.outside import Outside
from unlearnlib.core.sources import NAMED, PACKAGE, Chain, Definition, Sources, current

# What carries results, names mistakes and makes keys: what a result is does not depend on it.
CARRIERS = frozenset(
    f"unlearnlib.{name}"
    for name in (
        *(f"core.{name}" for name in ("errors", "paths", "cache", "fingerprint", "definitions", "sources", "outside")),
        *(f"experiment.measured:Experiment.{name}" for name in ("table", "code", "identity", "of", "fingerprint")),
        "experiment.variants:Variant.identity",
    )
)


def check_unchanged(modules: Iterable[str]) -> None:
    """Raise UserError where the file of one of these modules is not the one that this process has imported."""
    changed = current().changed(set(modules))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        name = changed[0].replace(".", "/")
        raise UserError(f"restart the kernel: {name}.py{more} changed since it was imported; the old code still runs")


def of(*roots: "str | Callable | ast.AST", without: Iterable[str] = (), package: Path = PACKAGE) -> dict[str, str]:
    """Return the code that `roots` depend on: hashes by "module:definition", in no particular order.

    A root is a function or class, the name of a module ("unlearnlib.training.loop": all of it) or of a definition
    ("unlearnlib.training.loop:fine_tune"), or the syntax tree of a notebook's cell. Functions that are not the
    package's, such as those of a notebook, count with their own code, what they use of the package, and the values of
    the variables that they take from outside. `without` names modules and definitions that do not count (CARRIERS never
    do). Raises UserError for a module or definition that the package does not have, and for a variable whose value
    cannot be told.
    """
    outside = Outside(package)
    outside.cells([root for root in roots if isinstance(root, ast.AST)])
    for root in roots:
        if not isinstance(root, str | ast.AST):
            outside.see(root, getattr(root, "__name__", "it"))
    boundary = frozenset(without) | CARRIERS
    reached = {root for root in outside.roots if not boundary & {root, root.partition(":")[0]}}
    wanted = tuple(sorted(reached | {root for root in roots if isinstance(root, str)}))
    known = _reached(current(package), wanted, frozenset(outside.attributes), frozenset(outside.texts), boundary)
    return {**known, **outside.found}


def is_foreign(function: Callable, package: Path = PACKAGE) -> bool:
    """Tell whether a function, or one that it is made from, is not the package's."""
    outside = Outside(package)
    outside.see(function, getattr(function, "__name__", "it"))
    return outside.foreign


def replaced(parts: Iterable[str], package: Path = PACKAGE) -> dict[str, str]:
    """Return what stands for those of these definitions that this process has replaced since it imported them: a
    function or method by another one, a variable by another plain value; hashes by "replaced module:definition"."""
    outside = Outside(package)
    for part in parts:
        module, _, name = part.partition(":")
        if module not in sys.modules or not current(package).has(module) or not name or "#" in name:
            continue
        first, _, member = name.partition(".")
        owner: Any = sys.modules[module]
        known = current(package).module(module).definitions.get(first, [None])[0]
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
def _reached(
    read: Sources, roots: tuple[str, ...], attributes: frozenset[str], texts: frozenset[str], boundary: frozenset[str]
) -> dict[str, str]:
    return _Walk(read, set(attributes), set(texts), boundary).parts(roots)


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
