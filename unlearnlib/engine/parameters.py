"""The parameters of a notebook: read from its typed cell tagged `parameters`, and checked before a kernel starts.

papermill takes any name and any value, so a slip would only show, if at all, as an odd result. A notebook that plain
papermill runs checks what it was given itself: see checked.
"""

import ast
import json
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError, nearest

TYPES = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "tuple": tuple}


@dataclass(frozen=True)
class Parameter:
    """One parameter: its name, its type as written or that of the default, and its default."""

    name: str
    type: Any
    default: Any


def read(path: Path | str) -> dict[str, Parameter]:
    """Return the parameters of a notebook by name; an empty mapping if it has no cell tagged `parameters`.

    Raises UserError if the cell holds anything but assignments of plain values.
    """
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in content["cells"] if "parameters" in cell["metadata"].get("tags", [])]
    return _declared("\n".join(sources), Path(path).name)


def _declared(source: str, where: str) -> dict[str, Parameter]:
    """Return the parameters that the source of a cell declares; UserError, naming `where`, for any other statement."""
    found: dict[str, Parameter] = {}
    for statement in ast.parse(source).body:
        try:
            parameter = _parameter(statement)
        except (ValueError, KeyError, TypeError, AttributeError, NameError):
            line = ast.unparse(statement)
            raise UserError(
                f"{where}: the parameters cell has {line!r}: write for example step_size: float = 0.1"
            ) from None
        if parameter is not None:
            found[parameter.name] = parameter
    return found


def check(path: Path | str, values: Mapping[str, Any]) -> None:
    """Raise UserError, naming the notebook and the nearest valid choice, for an unknown name or a wrong type."""
    _check(read(path), values, Path(path).name)


def _check(known: Mapping[str, Parameter], values: Mapping[str, Any], where: str) -> None:
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{where} has no parameter {name!r}: {nearest(name, known)}")
        if not fits(value, known[name].type):
            raise UserError(
                f"{where}: {name} must be {describe(known[name].type)}, such as {known[name].default!r}, not {value!r}"
            )


def checked(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the notebook whose variables are in `namespace`, checked, with `seeds` as seeds_of.

    A notebook begins with `globals().update(parameters.checked(globals()))`. What it declares is read from the first of
    its cells that has nothing but typed values, and what it was given from the cell that papermill puts in. UserError
    for an unknown name and for a wrong type, as in check.
    """
    declared, given = _history([str(cell) for cell in namespace.get("In", ())])
    values = {name: namespace[name] for name in declared if name in namespace}
    if "seeds" in namespace:
        values["seeds"] = seeds_of(namespace["seeds"])
    if isinstance(values.get("profile"), str) and "@" in values["profile"]:
        values["profile"] = profiles.load(values["profile"]).name  # one way to write it, one folder of results
    # Seeds are checked above: a cell changed by hand to `seeds = 3` declares a number, and is right too.
    typed = {name: declared[name].default if name == "seeds" else values[name] for name in values if name in declared}
    _check(declared, {**dict.fromkeys(given), **typed}, "this notebook")
    return values


def _history(cells: Sequence[str]) -> tuple[dict[str, Parameter], list[str]]:
    """Return what the cells that a notebook has run declare as parameters, and the names that papermill gave values."""
    declared: dict[str, Parameter] = {}
    given: list[str] = []
    for cell in cells:
        try:
            found = _declared(cell, "")
        except (UserError, SyntaxError):
            continue
        if cell.startswith("# Parameters"):
            given = list(found)
        elif not declared:
            declared = found
    return declared, given if declared else []


def seeds_of(value: Any) -> list[int]:
    """Return the seeds that a value names, sorted, each once: a whole number is one seed, and a text is read as on the
    command line ("0-4" or "0,2,5"). UserError for anything else, and for no seeds at all."""
    try:
        items = [value] if isinstance(value, str | bytes | Integral) else list(value)
        found = sorted({seed for item in items for seed in _seeds(item)})
    except (TypeError, UserError):
        found = []
    if not found:
        raise UserError(f"seeds must be whole numbers from 0 on, such as [0, 1] or 0-4, not {value!r}")
    return found


def _seeds(item: Any) -> tuple[int, ...]:
    if isinstance(item, str):
        from unlearnlib.engine.commandline import parse_seeds

        return parse_seeds(item.strip("[] "))
    if not isinstance(item, Integral) or isinstance(item, bool) or item < 0:
        raise TypeError
    return (int(item),)


def fits(value: Any, wanted: Any) -> bool:
    """Tell whether a value is of a type such as `float` (a whole number will do), `list[int]` or `str | None`."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is types.UnionType:
        return any(fits(value, argument) for argument in arguments)
    if origin in (list, tuple):
        return isinstance(value, list | tuple) and all(fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            fits(k, arguments[0]) and fits(v, arguments[1]) for k, v in value.items()
        )
    if isinstance(value, bool):
        return wanted is bool
    return isinstance(value, {float: (int, float), list: (list, tuple), tuple: (list, tuple)}.get(wanted, wanted))


def describe(wanted: Any) -> str:
    """Return a type as it is written in a notebook."""
    return wanted.__name__ if isinstance(wanted, type) and not typing.get_args(wanted) else str(wanted)


def _parameter(statement: ast.stmt) -> Parameter | None:
    """Return what an assignment declares, or None for a docstring or the like."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return None
    default = ast.literal_eval(statement.value)
    if isinstance(statement, ast.AnnAssign):
        return Parameter(statement.target.id, _narrow(_type(statement.annotation), default), default)
    (target,) = statement.targets
    return Parameter(target.id, _narrow(type(default), default), default)


def _type(annotation: ast.expr) -> Any:
    if isinstance(annotation, ast.Name):
        return TYPES[annotation.id]
    if isinstance(annotation, ast.Constant) and annotation.value is None:
        return types.NoneType
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return _type(annotation.left) | _type(annotation.right)
    if isinstance(annotation, ast.Subscript):
        inner = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        return TYPES[annotation.value.id][tuple(_type(item) for item in inner)]
    raise ValueError(ast.unparse(annotation))


def _narrow(wanted: Any, default: Any) -> Any:
    """Return the type of the default's elements too, where `list` alone is written: [0, 1] stands for list[int]."""
    if wanted is list and default and len({type(item) for item in default}) == 1:
        return list[type(default[0])]
    return wanted
