"""The parameters of a notebook: read from its typed cell tagged `parameters`, and checked before a kernel starts.

papermill takes any name and any value, so a slip would only show, if at all, as an odd result.
"""

import ast
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnlib.errors import UserError, nearest

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
    found: dict[str, Parameter] = {}
    for statement in ast.parse("\n".join(sources)).body:
        try:
            parameter = _parameter(statement)
        except (ValueError, KeyError, TypeError, AttributeError, NameError):
            line = ast.unparse(statement)
            raise UserError(
                f"{Path(path).name}: the parameters cell has {line!r}: write for example step_size: float = 0.1"
            ) from None
        if parameter is not None:
            found[parameter.name] = parameter
    return found


def check(path: Path | str, values: Mapping[str, Any]) -> None:
    """Raise UserError, naming the notebook and the nearest valid choice, for an unknown name or a wrong type."""
    known = read(path)
    for name, value in values.items():
        if name not in known:
            raise UserError(f"{Path(path).name} has no parameter {name!r}: {nearest(name, known)}")
        if not fits(value, known[name].type):
            raise UserError(
                f"{Path(path).name}: {name} must be {describe(known[name].type)}, such as {known[name].default!r}, "
                f"not {value!r}"
            )


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
