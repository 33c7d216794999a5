"""Code that is not the package's, such as a notebook's functions: what it does, what it takes from outside, and what it
uses of the package."""

import ast
import dis
import functools
import hashlib
import itertools
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

from unlearnlib.errors import UserError
from unlearnlib.sources import Chain, Reader, current, imports_of

STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]


@dataclass
class Outside:
    """What code outside the package comes to: its own hashes, its roots in the package, what it asks for by name."""

    package: Path
    found: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def cells(self, cells: list[ast.AST]) -> None:
        """Take in a notebook's cells: what they use of the package (their own text is hashed as it stands)."""
        reader, imports = Reader(), {}
        for cell in cells:
            reader.visit(cell)
            for own, targets in imports_of(cell, "", False).items():
                imports.setdefault(own, []).extend(targets)
        self.attributes |= reader.attributes
        self.texts |= reader.texts
        for chain in reader.names:
            for target in imports.get(chain[0], ()):
                self.use(target, chain[1:])

    def use(self, target: str, rest: Chain) -> None:
        """Take in what a dotted name means in the package, if it is the package's."""
        read = current(self.package)
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
        elif isinstance(value, types.FunctionType | type) and current(self.package).has(value.__module__):
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
        if current(self.package).has(kind.__module__):
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
