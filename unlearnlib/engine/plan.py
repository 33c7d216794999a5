"""The jobs of a run: what each is called, what it depends on, and whether it is up to date.

A finished job leaves a small file, its stamp, whose name carries the fingerprint of all that the job depends on. So a
result is stale when its stamp is not there, or when a table or figure is no longer the one that was written (a copy of
a notebook may have written its own under the same name): a touched file, a changed comment alter nothing.
"""

import ast
import dataclasses
import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnlib.core import definitions, fingerprint, paths, profiles, room, sources
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.engine import commandline, parameters
from unlearnlib.models import packaged


@dataclass(frozen=True)
class Job:
    """One training (`kind` is set) or one execution of a notebook, over some seeds (none: the notebook takes none)."""

    profile: str
    seeds: tuple[int, ...]
    kind: str = ""
    share: int = 0  # which part of many models (see unlearnlib.experiment.jobs.shares), 0: all
    notebook: str = ""
    needs: tuple["Job", ...] = ()  # what it reads: when that changes, so does this
    after: tuple["Job", ...] = ()  # what only has to be done before
    known: str = ""  # the fingerprint, where it is not to be computed

    @property
    def title(self) -> str:
        """What the job is, the same for every seed: "train smaller-sets", "ask halves", "05_layerwise_unlearning"."""
        verb = "ask" if self.kind in _jobs().ASKED else "train"
        return f"{verb} {self.kind}" if self.kind else self.notebook

    @property
    def name(self) -> str:
        """Unique among the jobs of one profile, and fit for a file name."""
        part = f"-part-{self.share}" if self.share else ""
        seeds = "".join(f"-{seed}" for seed in ("seeds", *self.seeds)) if self.seeds else ""
        return self.title.replace(" ", "-") + part + seeds

    def __str__(self) -> str:
        many = "s" if len(self.seeds) > 1 else ""
        part = f" part {self.share}" if self.share else ""
        return self.title + part + (f", seed{many} {' '.join(map(str, self.seeds))}" if self.seeds else "")

    @property
    def folder(self) -> Path:
        """Where a notebook's results go; a notebook that takes no seeds has the folder of the profile's own seeds."""
        return paths.run_folder(self.profile, self.seeds or profiles.load(self.profile).seeds)

    @property
    def executed(self) -> Path:
        """The executed copy of the notebook."""
        return self.folder / "notebooks" / f"{self.notebook}.ipynb"

    @property
    def log(self) -> Path:
        return paths.runs() / self.profile / "logs" / f"{self.name}.log"

    @property
    def status(self) -> Path:
        """Where the job says how far it is."""
        return paths.runs() / self.profile / "status" / f"{self.name}.json"

    @property
    def stamp(self) -> Path:
        """The file that says the job is done with what it depends on now."""
        return stamps_folder(self.profile, bool(self.kind)) / f"{self.name}@{self.fingerprint()}.json"

    def stamps(self) -> list[Path]:
        """Return every stamp of this job, also of what it depended on earlier."""
        return sorted(stamps_folder(self.profile, bool(self.kind)).glob(f"{self.name}@*.json"))

    def values(self) -> dict:
        """Return the parameters that the notebook is given: those of `profile` and `seeds` that it declares."""
        known = parameters.read(self.source)
        values = {"profile": self.profile, "seeds": list(self.seeds)}
        return {name: value for name, value in values.items() if name in known}

    @property
    def source(self) -> Path:
        return paths.NOTEBOOKS / f"{self.notebook}.ipynb"

    def results(self) -> list[Path]:
        """Return the tables and figures that the notebook has written: those that carry its number."""
        number = self.notebook[:2]
        return sorted(path for name in ("results", "figures") for path in (self.folder / name).glob(f"{number}_*"))

    def drawn(self) -> list[Path]:
        """Return the files that say what the notebook's figures were drawn from, by which code, and its pictures."""
        return sorted((self.folder / "drawn").glob(f"{self.notebook[:2]}_*"))

    @functools.cache  # noqa: B019 - the few jobs of a run; forget() empties it
    def parts(self) -> dict[str, Any]:
        """Return all that the job depends on, by what it is. Raises UserError for code that Python cannot read."""
        try:
            if self.kind:
                return _jobs().parts(self.profile, self.kind, self.seeds[0], self.share)
            files = fingerprint.beside(self.source)
            texts = self._named()
            return {
                "cells": fingerprint.code_cells(self.source),
                **({"files beside it": {path.name: fingerprint.files(path) for path in files}} if files else {}),
                **({"files it names": {name: fingerprint.files(paths.ROOT / name) for name in texts}} if texts else {}),
                "values": self.values(),
                "profile": _settings(self.profile),
                "code": definitions.of(*self._trees(), without=_drawing()),
                "data": _data(paths.data_folder(profiles.load(self.profile).data)),
                "needs": {str(need): need.fingerprint() for need in self.needs},
            }
        except SyntaxError as error:
            raise UserError(f"{error.filename}, line {error.lineno}: {error.msg}") from None

    def _named(self) -> list[str]:
        """Return the files of the repository that the notebook's parameters name."""
        values = {one.default for one in parameters.read(self.source).values() if isinstance(one.default, str)}
        return sorted(value for value in values if value and (paths.ROOT / value).is_file())

    def _trees(self) -> list[ast.AST]:
        """Return the syntax trees of the notebook's cells, and of the files beside it that they import."""
        beside = [ast.parse(path.read_bytes(), str(path)) for path in fingerprint.beside(self.source)]
        return [*fingerprint.notebook_trees(self.source), *beside]

    @functools.cache  # noqa: B019
    def fingerprint(self) -> str:
        """Return the fingerprint of all that the job depends on. Raises UserError as parts."""
        return self.known or fingerprint.combine(self.parts())

    def is_done(self) -> bool:
        """Tell whether the job is up to date, and all that it wrote is still there, tables and figures unchanged."""
        try:
            return not self.lost(json.loads(self.stamp.read_text()))
        except (OSError, ValueError, KeyError):
            return False

    def lost(self, stamp: Mapping) -> list[str]:
        """Return which of the files that a stamp vouches for are gone or no longer what they were."""
        digests = stamp.get("digests", {})
        return [
            name
            for name in stamp["written"]
            for path in [paths.runs() / name]
            if not path.exists() or (name in digests and fingerprint.files(path) != digests[name])
        ]


def stamps_folder(profile: str, training: bool) -> Path:
    """Return where stamps lie; those of trainings in the cache, so that they are deleted with the cached models."""
    if not training:
        return paths.runs() / profile / "done"
    _, at, changes = profile.partition("@")  # one cache for all, but not one list of what is done
    return paths.cache_folder(profile) / f"done{at}{changes}"


def plan(profile: str, seeds: Sequence[int], only: Sequence[str] = ()) -> dict[str, Job]:
    """Return the jobs of a run by name, each after those it waits for.

    A notebook that takes `seeds` is run for a few of them at a time, which may go side by side, and then once over all
    of them (those of unlearnlib.engine.needs.SUMMARIES only that once); one that takes none, once. Before it comes what
    it reads, by unlearnlib.engine.needs.NEEDS: trainings by kind, other notebooks by number; a notebook that is not
    named there reads the usual trainings of its seeds. With `only`: these notebooks, and what they read; else those
    that the profile names, if it names any. Raises UserError for a notebook whose parameters cannot take the profile or
    the seeds, and for a number that no notebook has.
    """
    jobs: dict[str, Job] = {}
    named = profiles.load(profile).notebooks
    only = only or tuple(_by_number(number, f"profile {profile}") for number in named)

    def add(job: Job) -> None:
        for earlier in (*job.needs, *job.after):
            add(earlier)
        jobs[job.name] = job

    for source in commandline.notebooks():
        if not only or source.stem in only:
            add(_job(profile, tuple(seeds), source.stem))
    return jobs


def from_stamp(profile: str, stamp: Path) -> Job:
    """Return the job that leaves this stamp, with the fingerprint in its name, but without what it waits for."""
    pattern = r"((?:train|ask)-)?(.+?)(?:-part-(\d+))?(?:-seeds-([\d-]+))?@([0-9a-f]+)\.json"
    training, title, share, seeds, known = re.fullmatch(pattern, stamp.name).groups()
    numbers = tuple(int(seed) for seed in seeds.split("-")) if seeds else ()
    what = {"kind": title, "share": int(share or 0)} if training else {"notebook": title}
    return Job(profile, numbers, **what, known=known)


def from_config(config: dict) -> tuple[str, dict[str, Job]]:
    """Return (profile, jobs) for snakemake's --config: profile=small seeds=0-4 only=05, each may be missing."""
    words = []
    for name in ("profile", "seeds", "only"):
        if config.get(name) not in (None, ""):
            words += [f"--{name}", str(config[name])]
    arguments = commandline.parse(words)
    seeds = arguments.seeds or tuple(sorted(profiles.load(arguments.profile).seeds))
    return arguments.profile, plan(arguments.profile, seeds, arguments.only)


def forget() -> None:
    """Forget what was read of the files so far: what comes next is of the files as they are then."""
    for known in (Job.fingerprint, Job.parts, _job, _data, _drawing):
        known.cache_clear()
    sources.look_again()


@functools.cache
def _job(profile: str, seeds: tuple[int, ...], notebook: str, part: bool = False) -> Job:
    """Return the job that runs a notebook over these seeds, with all that it waits for; `part` of a group of seeds is
    not shared out again."""
    source = paths.NOTEBOOKS / f"{notebook}.ipynb"
    takes_seeds = "seeds" in parameters.read(source)
    needs: list[Job] = []
    for name in _needs(notebook, takes_seeds, profiles.load(profile).notebooks):
        if name.isdigit():
            needs.append(_job(profile, seeds, _by_number(name)))
        else:
            seeded = itertools.product(_jobs().seeds_of(profile, name, seeds), _jobs().shares(profile, name))
            needs += [Job(profile, (seed,), kind=name, share=share) for seed, share in seeded]
    computes = takes_seeds and notebook[:2] not in _needed().SUMMARIES
    groups = _shared_out(seeds) if computes and not part else []
    after = [_job(profile, some, notebook, part=True) for some in groups if some != seeds]
    job = Job(profile, seeds if takes_seeds else (), notebook=notebook, needs=tuple(needs), after=tuple(after))
    parameters.check(source, job.values())
    return job


def _shared_out(seeds: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return the seeds in as few groups as may be, of like size, each of unlearnlib.engine.needs.TOGETHER at most, of
    three seeds or more in two at least: there are two cores, as a rule."""
    count = max(-(-len(seeds) // _needed().TOGETHER), 2 if len(seeds) > 2 else 1)
    ends = [len(seeds) * number // count for number in range(count + 1)]
    return [seeds[start:end] for start, end in itertools.pairwise(ends)]


def _needs(notebook: str, takes_seeds: bool, named: Sequence[str]) -> tuple[str, ...]:
    """Return what a notebook reads; `named` are the notebooks of its profile, none for all."""
    usual = tuple(_jobs().USUAL) if takes_seeds else ()
    needs = tuple(_needed().NEEDS.get(notebook[:2], usual))
    return tuple(name for name in needs if name in named) if named and notebook[:2] in _needed().WITHOUT else needs


def memory(profile: str) -> int:
    """Return about how many MB one job of a profile takes at most: the program and a training with its record, where
    the size of the base model is known without loading it, else as for the paper's."""
    one = profiles.load(profile)
    known = packaged.known(one.base_model)
    weights = sum(path.stat().st_size for path in (paths.ROOT / one.base_model).glob("*.safetensors"))
    size = 4 * known.parameters if known else weights or 5e8
    return 1000 + round((size + room.in_memory(size, one.epochs)) / 1e6)


def _by_number(number: str, where: str = "unlearnlib.engine.needs.NEEDS") -> str:
    names = {source.stem[:2]: source.stem for source in commandline.notebooks()}
    if number not in names:
        raise UserError(f"{where} names a notebook {number!r}: {nearest(number, names)}")
    return names[number]


def _settings(profile: str) -> dict[str, Any]:
    """Return the values of a profile that a notebook may read; which notebooks are run is none of them."""
    return {name: value for name, value in dataclasses.asdict(profiles.load(profile)).items() if name != "notebooks"}


def _jobs():
    """Return the module of jobs that train; imported late, so that a mistake in it is a line and not a traceback."""
    from unlearnlib.experiment import jobs

    return jobs


def _needed():
    """Return the module that says what notebooks read; imported late, as _jobs."""
    from unlearnlib.engine import needs

    return needs


def job_of(profile: str, stamp: Path) -> Job:
    """Return the job that leaves this stamp as it is planned now: its own fingerprint may be another."""
    job = from_stamp(profile, stamp)
    return _job(profile, job.seeds, job.notebook) if job.notebook else dataclasses.replace(job, known="")


@functools.cache
def _drawing() -> tuple[str, ...]:
    """Return the modules that only draw: figures are drawn anew without running a notebook again."""
    return tuple(name for name in sources.current().texts if name.startswith("unlearnlib.figures"))


@functools.cache
def _data(own: Path) -> dict[str, str]:
    """Return a fingerprint of every file of data; texts about it and the programs that made it do not count, nor do
    those in data/own, which count for the notebook whose parameters name them. Of a profile's `own` folder, where that
    is another one, the files that are read count too."""
    skipped, apart = {".md", ".py", ".pyc"}, paths.DATA / "own"
    files = sorted(
        path
        for path in paths.DATA.rglob("*")
        if path.is_file() and path.suffix not in skipped and not path.is_relative_to(apart)
    )
    found = {path.relative_to(paths.DATA).as_posix(): fingerprint.files(path) for path in files}
    others = sorted(own.glob("*.jsonl")) if own != paths.DATA else []
    return {**found, **{f"own {path.name}": fingerprint.files(path) for path in others}}
