"""Code that is not the package's, such as a notebook's functions: what it does, what it takes from outside, and what it
uses of the package."""

import ast
import dis
import functools
import hashlib
import importlib.util
import itertools
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib

from unlearnlib.core.errors import UserError
from unlearnlib.core.sources import Chain, Reader, current, imports_of

STANDARD_LIBRARY = sysconfig.get_paths()["stdlib"]
PLAIN = (bool, int, float, complex, str, bytes)
ATTRIBUTE, IMPORTED = ("LOAD_ATTR", "LOAD_METHOD"), "IMPORT_FROM"


@dataclass
class Outside:
    """What code outside the package comes to: its own hashes, its roots in the package, what it asks for by name."""

    package: Path
    found: dict[str, str] = field(default_factory=dict)
    roots: set[str] = field(default_factory=set)
    attributes: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    seen: dict[int, Any] = field(default_factory=dict)
    foreign: bool = False  # whether a function was met that is neither the package's nor a library's

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

    def note(self, name: str, what: Any) -> None:
        """Note one thing that counts, in the order in which it is met: two of one name are two."""
        self.found[f"{len(self.found):04} {name}"] = _digest(what)

    def see(self, value: Any, name: str) -> None:
        """Take in a value that code uses: a definition of the package, other code, or data; `name` is for errors."""
        if value is None or isinstance(value, PLAIN):
            self.note(name, value)
            return
        if id(value) in self.seen:  # also what holds itself
            return
        self.seen[id(value)] = value  # kept, so that its number stays its own
        if isinstance(value, types.MethodType):
            if not self._of_package(value.__func__):
                self.see(value.__self__, f"{name}.__self__")
            self.see(value.__func__, name)
        elif isinstance(value, functools.partial):
            self.note(name, list(value.keywords))
            for number, inner in enumerate((value.func, *value.args, *value.keywords.values())):
                self.see(inner, f"{name}({number})")
        elif isinstance(value, types.ModuleType):
            self.module(value.__name__, ())
        elif isinstance(value, types.FunctionType | type) and self._of_package(value):
            self.roots.add(f"{value.__module__}:{_outermost(value.__qualname__)}")
            self.note(name, f"{value.__module__}:{value.__qualname__}")
        elif isinstance(value, types.FunctionType | type | types.BuiltinFunctionType):
            self.note(name, f"{value.__module__}:{value.__qualname__}")  # of a library its name is all that counts
            if isinstance(value, types.FunctionType):
                self.function(value)
            elif isinstance(value, type):
                self.kind(value)
        elif hasattr(value, "__wrapped__"):  # of a cached function what it caches
            self.see(value.__wrapped__, name)
        else:
            self.data(value, name)

    def _of_package(self, value: Any) -> bool:
        return current(self.package).has(value.__module__ or "")

    def module(self, name: str, rest: Chain) -> None:
        """Take in what is used of a module: of the package its definitions, of the user's own its whole file."""
        if name.partition(".")[0] == self.package.name:
            self.use(name, rest)
            return
        try:
            file = getattr(sys.modules.get(name), "__file__", None) or importlib.util.find_spec(name).origin
        except (ImportError, AttributeError, ValueError):
            file = None
        own = not _installed(file) and Path(file).is_file()
        self.note(name, Path(file).read_bytes() if own else "a library")

    def kind(self, kind: type) -> None:
        """Take in a class by its members and those of the classes that it is made from, as far as they are own code."""
        for one in (*kind.__mro__, type(kind)):
            for inner, member in vars(one).items() if _is_own(one) else ():
                member = getattr(member, "fget", None) or getattr(member, "func", member)  # properties, cached or not
                skipped = isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType)
                if isinstance(member, types.FunctionType) or not (skipped or inner.startswith(("__", "_abc_"))):
                    self.see(member, f"{one.__qualname__}.{inner}")

    def function(self, function: types.FunctionType) -> None:
        """Take in a function by what it does, and what it takes from outside by what that is."""
        if _installed(function.__code__.co_filename):
            return
        self.foreign = True
        label = f"{function.__module__}:{function.__qualname__}"
        self.note(label, _instructions(function.__code__, function.__doc__))
        for code in (function.__code__, *_inner(function.__code__)):
            instructions = list(dis.get_instructions(code))
            self.texts |= {constant for constant in code.co_consts if isinstance(constant, str)}
            self.attributes |= {str(one.argval) for one in instructions if one.opname in ATTRIBUTE}
            for number, one in enumerate(instructions):
                after = instructions[number + 1 :]
                if one.opname == "IMPORT_NAME":
                    names = [
                        two.argval for two in itertools.takewhile(_part_of_import, after) if two.opname == IMPORTED
                    ]
                    for name in names or [None]:
                        self.module(one.argval, () if name is None else (name,))
                elif one.opname in ("LOAD_GLOBAL", "LOAD_NAME") and one.argval in function.__globals__:
                    value = function.__globals__[one.argval]
                    if isinstance(value, types.ModuleType):
                        chain = itertools.takewhile(lambda two: two.opname in ATTRIBUTE, after)
                        self.module(value.__name__, tuple(str(two.argval) for two in chain))
                    else:
                        self.see(value, one.argval)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            self.see(cell.cell_contents, name)
        for number, value in enumerate((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())):
            self.see(value, f"default {number} of {function.__name__}")

    def data(self, value: Any, name: str) -> None:
        """Take in a value: an experiment by what it is of (`identity`), anything else by its content."""
        kind, identity = type(value), getattr(value, "identity", None)
        own = _is_own(kind)
        if kind in (list, tuple, set, frozenset, dict) and any(map(_is_no_data, _inside(value))):
            self.note(name, [repr(key) for key in value] if kind is dict else len(value))
            for number, one in enumerate(_inside(value)):
                self.see(one, f"{name}[{number}]")
            return
        if self._of_package(kind):
            self.roots.add(f"{kind.__module__}:{_outermost(kind.__qualname__)}")
        if isinstance(identity, Mapping):
            self.note(name, sorted(identity.items()))
        if own:  # an object by its class and what it holds
            self.see(kind, kind.__name__)
            for inner, one in _held(value, identity):
                self.see(one, f"{name}.{inner}")
        if own or isinstance(identity, Mapping):
            return
        try:
            if kind.__module__.startswith(("torch", "transformers")):
                raise TypeError("a state that no key can hold")
            self.note(name, joblib.hash(value))
        except Exception as error:  # whatever a foreign object raises when it is pickled
            raise UserError(
                f"what is kept would depend on {name!r}, a {kind.__name__} that cannot be told from another one "
                f"({type(error).__name__}): make it inside the function, from plain data"
            ) from None


def _held(value: Any, identity: Any) -> list[tuple[str, Any]]:
    """Return what an object of a user's class holds; of an experiment only what the user has added to it."""
    held = dict(getattr(value, "__dict__", {}))
    for one in type(value).__mro__:
        slots = vars(one).get("__slots__", ())
        for slot in [slots] if isinstance(slots, str) else slots:
            if hasattr(value, slot):
                held[slot] = getattr(value, slot)
    if isinstance(identity, Mapping):
        known = {name for one in type(value).__mro__ for name in vars(one)} | {
            "profile",
            "seed",
            "split",
            "setting",
            "models",
        }
        held = {name: one for name, one in held.items() if name not in known and not name.startswith("_")}
    if isinstance(value, dict):
        held["its items"] = dict(value)
    elif isinstance(value, list | tuple | set | frozenset):
        held["its items"] = _inside(value)
    return list(held.items())


def _is_own(kind: type) -> bool:
    """Tell whether a class is written by the user: in a notebook, or in a file that is no library's."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return kind.__module__ == "__main__" or not _installed(file)


def _is_no_data(value: Any) -> bool:
    return callable(value) or isinstance(getattr(value, "identity", None), Mapping)


def _inside(value: Any) -> list:
    """Return what a container holds, in an order that is the same in every process."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=repr)
    return list(value.values() if isinstance(value, dict) else value)


def _part_of_import(instruction: dis.Instruction) -> bool:
    return instruction.opname == IMPORTED or instruction.opname.startswith("STORE")


def _installed(file: str | None) -> bool:
    """Tell whether a file is Python's or a library's (or there is none): of these no code counts."""
    libraries = ("site-packages", "dist-packages", "<frozen")
    return (
        not file or any(part in file for part in libraries) or file.startswith((STANDARD_LIBRARY, "built-in", "frozen"))
    )


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
    shown = tuple(_constant(one) for one in code.co_consts if doc is None or one != doc)
    return code.co_code.hex(), shown, code.co_names, code.co_varnames, code.co_freevars


def _constant(one: Any) -> Any:
    if isinstance(one, types.CodeType):
        return _instructions(one)
    return sorted(one, key=repr) if isinstance(one, frozenset) else one  # the order of a set differs between processes


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]
