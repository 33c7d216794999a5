"""What a notebook reads is trained, or has run, before it: unlearnlib.engine.needs against the notebooks' own code."""

import ast
import importlib
import inspect
import itertools
import json
import textwrap
import types

import pytest

from unlearnlib.claims import claims
from unlearnlib.core import profiles, sources
from unlearnlib.engine import commandline, needs, plan, run
from unlearnlib.experiment import setting
from unlearnlib.experiment.jobs import KINDS, LATE, USUAL
from unlearnlib.experiment.measured import Experiment

# What of an Experiment needs no trained model; all else of it does.
UNTRAINED = {
    "tokenizer",
    "base",
    "sets",
    "examples",
    "split",
    "name_rows",
    "table",
    "evaluate",
    "fingerprint",
    "next_seed",
}
TRAINED = {name for name in vars(Experiment) if not name.startswith("_")} - UNTRAINED
# The jobs behind the kinds of models, and those behind the functions of unlearnlib.experiment.setting: that of its own
# name, and this one.
JOBS = {one: kind for kind, ones in KINDS.items() for one in ones}
FUNCTIONS = {**{function.__name__: JOBS[kind] for kind, function in setting.KINDS.items()}, "smaller": "smaller-sets"}
# What each notebook touches beside the usual trainings of its seeds; others touch nothing more.
MORE = {
    "03": {"halves", "left-out"},
    "06": {"smaller-sets"},
    "09": {"smaller-sets", *LATE},
    "10": {"halves", "originals", "references"},
    "19": {"smaller-sets"},
    "23": {"smaller-sets"},
}
# Notebooks whose own code names no model: the usual ones are read by functions of other rooms.
INSIDE = {"03", "18", "24"}
NOTEBOOKS = {source.stem[:2]: source for source in commandline.notebooks()}


def code_of(number: str) -> ast.Module:
    cells = json.loads(NOTEBOOKS[number].read_text(encoding="utf-8"))["cells"]
    return ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))


def kinds_in(tree: ast.AST, home: types.ModuleType | None = None, seen: frozenset = frozenset()) -> set[str]:
    """The jobs whose models a piece of code names: as texts, as functions of setting, and in the functions of its
    own module (`home`) that it names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in JOBS:
            found.add(JOBS[node.value])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "setting":
            found |= {FUNCTIONS[node.attr]} if node.attr in FUNCTIONS else set()
        elif isinstance(node, ast.Name) and home is not None and node.id not in seen:
            found |= kinds_of(home, node.id, seen)
    return found


def kinds_of(module: types.ModuleType, name: str, seen: frozenset = frozenset()) -> set[str]:
    """The kinds that a function of a module names, in itself or in other functions of this module."""
    function = inspect.unwrap(getattr(module, name, None))
    if not inspect.isfunction(function) or function.__module__ != module.__name__:
        return set()
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return kinds_in(tree, module, seen | {name})


def touched(number: str) -> set[str]:
    """The kinds of training jobs whose models a notebook reads, from its code and the functions that it calls."""
    tree = code_of(number)
    found, imported = kinds_in(tree), modules_of(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            name = node.value.id if isinstance(node.value, ast.Name) else ""
            if name in imported:
                mine = imported[name] not in (None, setting)  # whose functions are known by name
                found |= kinds_of(imported[name], node.attr) if mine else set()
            elif node.attr in TRAINED:
                found |= set(USUAL)
    return found


def modules_of(tree: ast.AST) -> dict[str, types.ModuleType | None]:
    """What a notebook's code imports, by name: the modules of the package, and None for all else."""
    found: dict[str, types.ModuleType | None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname or alias.name: None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                mine = (
                    name in sources.current().texts and node.module != "unlearnlib.figures"
                )  # they draw what is there
                found[alias.asname or alias.name] = importlib.import_module(name) if mine else None
    return found


def judged(number: str) -> set[str]:
    """The notebooks whose tables a notebook holds against the claims."""
    found = set()
    for node in ast.walk(code_of(number)):
        if isinstance(node, ast.Attribute) and node.attr == "judge_configurations":
            found.add(claims.CONFIGURATIONS[:2])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "judge":
            found |= {one.value for one in node.args[1:]} or {
                one.table[:2] for claim in claims.CLAIMS for one in claim.criteria
            }
    return found - {number}


def before(number: str) -> tuple[set[str], set[str]]:
    """The kinds and the notebooks that a run has done before it comes to this notebook."""
    kinds, notebooks = set(), set()
    for name in needs.NEEDS.get(number, USUAL):
        if name.isdigit():
            earlier = before(name)
            kinds, notebooks = kinds | earlier[0], notebooks | {name} | earlier[1]
        else:
            kinds.add(name)
    return kinds, notebooks


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_what_a_notebook_reads_is_there_before_it(number):
    kinds, notebooks = before(number)
    assert touched(number) <= kinds, "name the kind in unlearnlib.engine.needs.NEEDS"
    assert judged(number) <= notebooks, "name the notebook in unlearnlib.engine.needs.NEEDS"


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_what_is_found_in_a_notebooks_code_is_what_it_is_known_to_read(number):
    trains = number not in ("01", "13", "15", "17", "20", "25")
    found = touched(number) | (set(USUAL) if number in INSIDE else set())
    assert found == (MORE.get(number, set()) | set(USUAL) if trains else set())
    known = {"15": {f"{other:02d}" for other in (*range(4, 9), 12, 16, 21)}, "26": {"16"}}
    assert judged(number) == known.get(number, set())


def test_needs_name_notebooks_and_kinds_that_there_are():
    assert set(needs.NEEDS) | set(needs.SUMMARIES) <= set(NOTEBOOKS)
    for number, names in needs.NEEDS.items():
        assert set(names) <= {*KINDS, *NOTEBOOKS} and number not in before(number)[1]


@pytest.mark.parametrize(("seeds", "groups"), [(1, []), (2, []), (3, [1, 2]), (5, [2, 3]), (20, [2, 3, 3, 3, 3, 3, 3])])
def test_a_notebook_takes_a_few_seeds_at_a_time_before_it_takes_all(seeds, groups):
    jobs = plan.plan("small", range(seeds), ["02_finetuning", "05_layerwise_unlearning"]).values()
    taken = [job.seeds for job in jobs if job.notebook.startswith("05")]
    assert [len(some) for some in taken] == [*groups, seeds]
    assert taken[-1] == tuple(range(seeds)) and [*itertools.chain(*taken[:-1])] == [*range(seeds)] * bool(groups)
    assert [job.seeds for job in jobs if job.notebook.startswith("02")] == [tuple(range(seeds))], "it computes little"


def test_a_profile_that_names_its_notebooks_has_the_verdicts_of_those_alone():
    """Else a run of six notebooks would run all that the verdicts can read."""
    named = profiles.load("smollm2").notebooks
    jobs = plan.plan("smollm2", [0, 1, 2]).values()
    assert {job.notebook[:2] for job in jobs if job.notebook} == set(named) > {"15"}
    assert {job.kind for job in jobs if job.kind} == set(USUAL)
    last = next(job for job in jobs if job.notebook[:2] == "15")
    assert {job.notebook[:2] for job in last.needs} == set(named) & set(needs.NEEDS["15"])


def test_a_job_of_a_larger_model_takes_more_memory():
    given = {name: plan.memory(name) for name in ("smoke", "small", "smollm2", "gpt2")}
    assert given["smoke"] < given["small"] < 5000
    assert 10_000 < given["smollm2"] < 15_000 and 10_000 < given["gpt2"] < 15_000


@pytest.mark.parametrize(("available", "fit"), [(100e9, 4), (25e9, 2), (16e9, 1), (2e9, 1)])
def test_no_more_jobs_run_at_a_time_than_memory_holds(monkeypatch, capsys, available, fit):
    monkeypatch.setattr(run.joblib, "cpu_count", lambda: 4)
    monkeypatch.setattr(run.psutil, "virtual_memory", lambda: types.SimpleNamespace(available=available))
    assert run._at_a_time("smollm2") == fit
    said = capsys.readouterr().out
    assert ("of 4 cores" in said and f"{fit} job" in said) == (fit < 4), "only what is lowered is said"
