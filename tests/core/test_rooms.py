"""The rooms of the package: what may import what, so that each can be read, tested and used without those above it."""

import ast
from collections.abc import Iterator

from unlearnlib.core.paths import ROOT

# From the ground up; those of one floor do not import each other.
FLOORS = (
    ("core",),
    ("statistics",),
    ("data",),
    ("models",),
    ("gradients",),
    ("training",),
    ("methods",),
    ("measures",),
    ("influence",),
    ("guarantees", "images", "verify"),
    ("experiment",),
    ("claims", "figures"),
    ("engine",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted((ROOT / "unlearnlib").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything of the package that is imported, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("unlearnlib"))
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: write the whole name"
            if node.module.partition(".")[0] == "unlearnlib":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def allowed(room: str, other: str) -> bool:
    return room == other or FLOOR[other] < FLOOR[room]


def test_a_room_imports_only_from_rooms_below_it():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in FILES
        if path.parent != ROOT / "unlearnlib"
        for name in imported(ast.parse(path.read_text()))
        if not allowed(path.relative_to(ROOT / "unlearnlib").parts[0], name.split(".")[1])
    ]
    assert wrong == []


def test_methods_and_measures_can_be_used_without_an_experiment():
    for room in ("methods", "measures"):
        for path in (ROOT / "unlearnlib" / room).glob("*.py"):
            assert not [name for name in imported(ast.parse(path.read_text())) if ".experiment" in name], path
    assert not allowed("methods", "experiment") and not allowed("measures", "experiment")
    assert not allowed("claims", "figures") and not allowed("figures", "claims")


def test_no_init_imports_anything():
    for path in FILES:
        if path.name == "__init__.py":
            tree = ast.parse(path.read_text())
            assert list(imported(tree)) == [], path
            names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
            names += [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            assert names in ([], ["warnings"]), path


def test_every_module_has_a_room_and_every_room_says_what_it_is():
    assert [path.name for path in (ROOT / "unlearnlib").glob("*.py")] == ["__init__.py"]
    folders = {path.parent.name for path in FILES} - {"unlearnlib"}
    assert folders == set(FLOOR)
    for room in FLOOR:
        text = (ROOT / "unlearnlib" / room / "__init__.py").read_text()
        assert len(ast.get_docstring(ast.parse(text))) > 30, room


def test_the_map_of_the_readme_names_every_module_in_its_room():
    page = (ROOT / "README.md").read_text().partition("| room of `unlearnlib` |")[2]
    for path in FILES:
        if path.name not in ("__init__.py", "__main__.py"):
            room = path.parent.name
            rows = [line for line in page.splitlines() if line.startswith(f"| `{room}/` | ")]
            assert sum(f"`{path.stem}`" in row for row in rows) == 1, path
