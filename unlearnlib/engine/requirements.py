"""Does this environment have what pyproject.toml asks for? One line per requirement."""

import importlib.metadata
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass

from unlearnlib.core.paths import ROOT


@dataclass(frozen=True)
class Requirement:
    """One requirement, what was found of it ("" for nothing), and whether that will do."""

    name: str
    wanted: str
    found: str
    ok: bool

    def __str__(self) -> str:
        mark = "ok     " if self.ok else "MISSING" if not self.found else "WRONG  "
        return f"{mark} {self.name:<16} wanted {self.wanted or 'any':<10} found {self.found or 'nothing'}"


def listed(extras: Sequence[str] = ()) -> list[str]:
    """Return the requirements of pyproject.toml, of the extras too, as they are written there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["dependencies"] + [line for extra in extras for line in project["optional-dependencies"][extra]]


def check(extras: Sequence[str] = ()) -> list[Requirement]:
    """Return one Requirement for Python and for every line of pyproject.toml, checked in the running environment."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    try:
        import packaging.requirements
        import packaging.specifiers
    except ImportError:  # it is itself a requirement, and without it no version can be compared
        return [Requirement("packaging", "", "", False)]
    python = ".".join(map(str, sys.version_info[:3]))
    wanted = project["requires-python"]
    results = [Requirement("python", wanted, python, python in packaging.specifiers.SpecifierSet(wanted))]
    for line in listed(extras):
        requirement = packaging.requirements.Requirement(line)
        try:
            found = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            found = ""
        ok = bool(found) and requirement.specifier.contains(found, prereleases=True)
        results.append(Requirement(requirement.name, str(requirement.specifier), found, ok))
    return results


def main(words: Sequence[str]) -> int:
    """Print the lines, with --test and --extra=NAME also those of the tests and of an extra, with --missing only those
    not met; return 1 if any is."""
    extras = [word.removeprefix("--extra=") for word in words if word.startswith("--extra=")]
    results = check([*extras, *["test"] * ("--test" in words)])
    for result in results:
        if "--missing" not in words or not result.ok:
            print(result)
    return 0 if all(result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
