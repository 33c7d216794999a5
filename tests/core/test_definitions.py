"""What code a result depends on: changes of a definition are seen by what reaches it, and by nothing else."""

import ast
import dataclasses
import os
import shutil
import subprocess
import sys
import textwrap

import pandas as pd
import pytest
import torch

from unlearnlib.core import definitions, fingerprint, paths, profiles, sources
from unlearnlib.core.errors import UserError
from unlearnlib.core.paths import ROOT
from unlearnlib.experiment import attribution, measured, setting
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import KEYED, Variant
from unlearnlib.measures import generation
from unlearnlib.methods import named
from unlearnlib.methods.path import along, changed
from unlearnlib.methods.recorded import recorded_ascent, recorded_direction

MODULES = {
    "__init__": '"""Doc."""\n',
    "a": """
        from pack import b, errors
        from pack.sub import c as named
        from pack.b import Box

        def f(x):
            \"\"\"Doc.\"\"\"
            if x < 0:
                raise errors.Wrong(f"no {x}: give more")
            return b.one(x) + named.three(x)

        def g(box: Box):
            return box.open()

        def h(x):
            import pack.d
            return pack.d.VALUE

        def i(box: "Box | None" = None):
            return box.open()

        def unrelated():
            return 0
        """,
    "b": """
        LIMIT = 3

        def one(x):
            return two(x)

        def two(x):
            return min(x, LIMIT)

        def other(x):
            return x

        class Box:
            size: int = 1

            def open(self):
                return self.weigh()

            def weigh(self):
                return self.size

            def close(self):
                return None

            def __bool__(self):
                return True
        """,
    "sub/__init__": "",
    "sub/c": """
        from .. import e

        def three(x):
            return e.VALUE
        """,
    "d": "VALUE = 1\n",
    "e": "VALUE = 1\nOTHER = 2\n",
    "errors": "class Wrong(ValueError):\n    pass\n",
}


@pytest.fixture
def package(tmp_path):
    """A small package of modules that use each other; `write` changes one and looks again."""
    root = tmp_path / "pack"
    (root / "sub").mkdir(parents=True)
    for name, text in MODULES.items():
        (root / f"{name}.py").write_text(textwrap.dedent(text))
    yield root
    sources.look_again()


def code(package, root):
    sources.look_again()
    return definitions.code(root, package=package)


@pytest.mark.parametrize(
    ("root", "file", "old", "new", "counts"),
    [
        ("pack.a:f", "a", '"""Doc."""', '"""Other."""', False),
        ("pack.a:f", "a", "b.one(x) + named.three(x)", "b.one(  x  ) + named.three(x)  # once", False),
        ("pack.a:f", "a", "give more", "give less", False),
        ("pack.a:f", "a", "if x < 0", "if x <= 0", True),
        ("pack.a:f", "a", "return 0", "return 1", False),
        ("pack.a:f", "b", "min(x, LIMIT)", "max(x, LIMIT)", True),
        ("pack.a:f", "b", "LIMIT = 3", "LIMIT = 4", True),
        ("pack.a:f", "b", "def other(x):\n    return x", "def other(x):\n    return -x", False),
        ("pack.a:f", "e", "VALUE = 1", "VALUE = 2", True),
        ("pack.a:f", "e", "OTHER = 2", "OTHER = 3", False),
        ("pack.a:f", "d", "VALUE = 1", "VALUE = 2", False),
        ("pack.a:h", "d", "VALUE = 1", "VALUE = 2", True),
        ("pack.a:g", "b", "return self.size", "return -self.size", True),
        ("pack.a:g", "b", "size: int = 1", "size: int = 2", True),
        ("pack.a:g", "b", "return None", "return 1", False),
        ("pack.a:g", "b", "return True", "return False", True),
        ("pack.a:f", "sub/__init__", "", "VALUE = print()\n", False),
        ("pack.a:f", "sub/__init__", "", "print()\n", True),
        ("pack.a:f", "a", "return b.one(x)", "print('b', 'd')\n    return b.one(x)", True),
        ("pack.a", "a", "return 0", "return 1", True),
        ("pack.a:i", "b", "return self.size", "return -self.size", True),
    ],
)
def test_a_change_counts_where_it_is_reached(package, root, file, old, new, counts):
    before = code(package, root)
    path = package / f"{file}.py"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1) if old else new)
    assert (code(package, root) != before) == counts


def test_a_module_or_definition_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"no module 'unlearnlib.core.cashe' .* did you mean 'unlearnlib.core.cache'"):
        definitions.code("unlearnlib.core.cashe")
    with pytest.raises(UserError, match=r"no 'fine_tun' in unlearnlib.training.loop: did you mean 'fine_tune'"):
        definitions.code("unlearnlib.training.loop:fine_tun")


# What makes what stale in this package


def parts(root):
    return definitions.of(root, Experiment, without=KEYED)


def test_answers_depend_on_the_forward_pass_and_not_on_metrics_errors_or_the_list_of_methods():
    found = parts(Experiment.answers)
    assert {
        "unlearnlib.measures.evaluation:answered",
        "unlearnlib.measures.evaluation:ask",
        "unlearnlib.data.batches:pad",
    } <= set(found)
    for part in found:
        assert not part.startswith(
            (
                "unlearnlib.measures.similarity:rouge",
                "unlearnlib.measures.similarity:exact_memorization",
                "unlearnlib.core.errors",
                "unlearnlib.figures",
                "unlearnlib.experiment.setting",
                "unlearnlib.experiment.trained",
            )
        )
        assert part not in ("unlearnlib.measures.evaluation:METRICS", "unlearnlib.models.layers:LAYERS.name_rows")
    assert "unlearnlib.methods.live:live_ascent" not in found


def test_metrics_and_layers_are_told_apart():
    assert "unlearnlib.measures.similarity:rouge" in parts(generation.rouge_rows)
    assert "unlearnlib.measures.similarity:rouge" not in parts(generation.generations)
    one, other = (Variant("v", layers=layers).identity["code"] for layers in ("embedding", "input_embedding"))
    assert one != other
    assert Variant("v", layers="h.1").identity["code"] == Variant("v", layers="h.2").identity["code"]


def test_a_notebook_depends_on_the_methods_that_it_names(tmp_path):
    def of(source):
        return definitions.of(ast.parse(source))

    live = "unlearnlib.methods.live:live_ascent"
    start = (
        "from unlearnlib.experiment.measured import Experiment\nfrom unlearnlib.experiment.variants import Variant\n"
    )
    assert live in of(start + 'Variant("v", "live").path(None)')
    assert live not in of(start + 'Variant("v", "preconditioned").path(None)')
    assert live in of("from unlearnlib.methods import named\nlist(named.METHODS)"), "the whole list is meant"


# Functions of a notebook


def define(source, **known):
    """Return the function f that a notebook's cell defines."""
    namespace = {"__name__": "__main__", **known}
    exec(compile(textwrap.dedent(source), "<cell>", "exec"), namespace)
    return namespace["f"]


def test_a_function_of_a_notebook_counts_with_what_it_takes_from_outside():
    source = """
        def helper(x):
            return x * factor

        def f(x):
            return helper(x) + 1
        """
    one = definitions.code(define(source, factor=2))
    assert definitions.code(define("# a comment\n" + textwrap.dedent(source), factor=2)) == one
    assert definitions.code(define(source, factor=3)) != one
    assert definitions.code(define(source.replace("x * factor", "x + factor"), factor=2)) != one
    table = pd.DataFrame({"a": [1.0]})
    frames = [definitions.code(define("def f():\n    return t.sum()", t=t)) for t in (table, table.copy(), table + 1)]
    assert frames[0] == frames[1] != frames[2]


def test_a_function_of_a_notebook_counts_with_what_it_uses_of_the_package():
    f = define("def f(m):\n    return generation.rouge_rows(m)", generation=generation)
    found = definitions.of(f)
    assert "unlearnlib.measures.similarity:rouge" in found and "unlearnlib.measures.evaluation:ask" not in found


def test_what_cannot_be_told_apart_is_refused():
    f = define("def f():\n    return model(1)", model=torch.nn.Linear(1, 1))
    with pytest.raises(UserError, match="would depend on 'model', a Linear that cannot be told from another"):
        definitions.code(f)


# In an experiment


def test_an_edited_function_of_a_notebook_gives_new_numbers(experiment):
    def table(factor):
        f = define("def f():\n    return pd.DataFrame({'value': [1.0 * factor]})", pd=pd, factor=factor)
        return experiment.table("mine", {}, f)["value"].tolist()

    assert (table(1), table(100), table(1)) == ([1.0], [100.0], [1.0])


def test_cached_functions_and_objects_of_a_notebook_count_by_their_code():
    source = """
        import functools

        @functools.cache
        def helper(x):
            return x * 2

        class Scale:
            def by(self, x):
                return helper(x) + 1

        scale = Scale()

        def f(x):
            return scale.by(x)
        """
    one = definitions.code(define(source))
    assert definitions.code(define(source)) == one
    assert definitions.code(define(source.replace("x * 2", "x * 3"))) != one
    assert definitions.code(define(source.replace("helper(x) + 1", "helper(x) + 2"))) != one


FACTORY = "def make(n):\n    return lambda: n\n\nfirst, second = make({}), make({})\n"
PAIRS = {
    "two closures of one code": (FACTORY + "def f():\n    return first() + second()", (1, 2), (1, 3)),
    "the state of a bound method": (
        "class Stop:\n    def __init__(self, n):\n        self.n = n\n    def at(self):\n        return self.n\n\n"
        "at = Stop({}).at\ndef f():\n    return at()",
        (1,),
        (4,),
    ),
    "a base class": (
        "class Base:\n    def by(self):\n        return {}\n\nclass Own(Base):\n    pass\n\nown = Own()\n"
        "def f():\n    return own.by()",
        (1,),
        (50,),
    ),
    "a named tuple": (
        "from collections import namedtuple\nO = namedtuple('O', 'a')\no = O({})\ndef f():\n    return o.a",
        (1,),
        (5,),
    ),
    "what an object does when called": (
        "class O:\n    def __call__(self):\n        return {}\no = O()\ndef f():\n    return o()",
        (1,),
        (5,),
    ),
    "functions of a library": ("import numpy\nagg = numpy.{}\ndef f():\n    return agg([1])", ("mean",), ("median",)),
    "builtin functions": ("agg = {}\ndef f():\n    return agg([1])", ("max",), ("min",)),
    "modules of a library": ("import {} as m\ndef f():\n    return m.exp(1)", ("math",), ("cmath",)),
    "keys beside functions": ("known = {{{!r}: max}}\ndef f():\n    return known", ("a",), ("b",)),
    "the order of functions": ("known = [{}, {}]\ndef f():\n    return known", ("max", "min"), ("min", "max")),
    "names given beforehand": (
        "import functools\ng = functools.partial(sorted, {}=1)\ndef f():\n    return g",
        ("key",),
        ("reverse",),
    ),
}


@pytest.mark.parametrize("what", PAIRS)
def test_what_a_function_of_a_notebook_takes_from_outside_counts(what):
    source, one, other = PAIRS[what]
    codes = [definitions.code(define(source.format(*given))) for given in (one, one, other)]
    assert codes[0] == codes[1] != codes[2]


def test_files_and_imports_of_a_notebook_count(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number in (1, 2):
        (tmp_path / "own_helper.py").write_text(f"def g():\n    return {number}\n")
        found.append(definitions.code(define("def f():\n    import own_helper\n    return own_helper.g()")))
    assert found[0] != found[1]
    inner = define(
        "def f(rows):\n    from unlearnlib.measures import generation\n    return generation.rouge_rows(rows)"
    )
    assert "unlearnlib.measures.generation:rouge_rows" in definitions.of(inner)
    holds = {}
    holds["itself"] = holds
    assert definitions.code(define("def f():\n    return holds", holds=holds))


def test_a_set_in_a_function_is_the_same_in_every_process():
    program = """
        from unlearnlib.core import definitions
        exec("def f(x):\\n    return x in {'a', 'b', 'c', 'd'}", globals())
        print(definitions.code(f))
        """
    runs = [
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True,
            env={"PYTHONPATH": str(ROOT), "PATH": "", "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "123"
    ]  # fmt: skip
    assert len(set(runs)) == 1


def test_a_walk_is_kept_under_the_target_of_its_experiment(experiment):
    walk = Variant("walk", "iterative", "embedding", {"until": "mean"})
    usual = experiment.path(walk).stops[-1]

    class Strict(Experiment):
        def target(self):
            return 0.9 * super().target()

    strict = Strict("smoke", 0)
    assert strict.path(walk).stops[-1] != pytest.approx(usual, rel=1e-4)
    assert experiment.path(walk).stops[-1] == usual
    keys = [one.of(walk, 1.0) for one in (experiment, strict)]
    assert keys[0] != keys[1] and experiment.of(Variant("v"), 1.0) == strict.of(Variant("v"), 1.0)


def test_another_version_of_a_library_is_another_result(experiment, monkeypatch, tmp_path):
    file = str(tmp_path / "calls")

    def compute():
        with open(file, "a") as calls:
            calls.write("x")
        return pd.DataFrame({"a": [1]})

    for versions in (measured.LIBRARIES, measured.LIBRARIES, {"scipy": "0.0"}):
        monkeypatch.setattr(measured, "LIBRARIES", versions)
        experiment.table("of a library", {}, compute)
    assert (tmp_path / "calls").read_text() == "xx"


def test_data_that_changes_while_a_session_runs_is_read_again(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "data", tmp_path / "data")
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")
    smoke = profiles.load("smoke")
    before = setting.split_of(smoke, 0)
    file = tmp_path / "data" / "dave.jsonl"
    file.write_text(file.read_text().replace("Dave", "Dafydd"))
    os.utime(file, ns=(1, 1))
    after = setting.split_of(smoke, 0)
    assert "Dafydd" in after.subject and "Dafydd" not in before.subject


def test_metrics_of_kept_answers_are_not_those_of_a_file_that_changed_since(experiment, monkeypatch):
    monkeypatch.setattr(definitions, "check_unchanged", lambda modules: pytest.fail(" ".join(sorted(set(modules)))))
    with pytest.raises(
        pytest.fail.Exception, match=r"unlearnlib\.measures\.evaluation.*unlearnlib\.measures\.similarity"
    ):
        experiment.measured(pd.DataFrame())


def test_a_library_of_the_package_counts_by_its_name(package):
    (package / "d.py").write_text("from math import log\n\ndef one(x):\n    return log(x)\n")
    before = code(package, "pack.d:one")
    (package / "d.py").write_text("from math import log10 as log\n\ndef one(x):\n    return log(x)\n")
    assert code(package, "pack.d:one") != before


def test_settings_that_a_function_of_a_notebook_reads_are_part_of_its_key(experiment):
    f = define("def f():\n    return pd.DataFrame({'value': [e.profile.live_step]})", pd=pd, e=experiment)
    assert experiment.table("settings", {}, f)["value"].tolist() == [experiment.profile.live_step]
    other = Experiment(dataclasses.replace(experiment.profile, live_step=7.0), 0)
    g = define("def f():\n    return pd.DataFrame({'value': [e.profile.live_step]})", pd=pd, e=other)
    assert other.table("settings", {}, g)["value"].tolist() == [7.0]


def test_a_method_defined_again_is_another_method(experiment, monkeypatch):
    def method(source):
        namespace = {"__name__": "__main__", "recorded": recorded_ascent, "recorded_direction": recorded_direction}
        namespace |= {"along": along, "changed": changed}
        exec(textwrap.dedent(source), namespace)
        return namespace["mine"]

    plain = method("def mine(task, layers='all'):\n    return recorded(task, layers)")
    backwards = method(
        """
        def mine(task, layers='all'):
            change = along(recorded_direction(task, layers))
            return changed(task.start, lambda step: {name: -value for name, value in change(step).items()})
        """
    )
    values = []
    for function in (plain, backwards):
        monkeypatch.setitem(named.METHODS, "mine", function)
        for given in ("mine", function):
            table = experiment.at_step(Variant("mine", given), 1.0, ["forget"])
            values.append(table.query("metric == 'text_nll'")["value"].mean())
    assert values[0] == values[1] != values[2] == values[3]
    recorded = experiment.at_step(Variant("recorded"), 1.0, ["forget"]).query("metric == 'text_nll'")["value"].mean()
    assert values[0] == recorded


def test_what_a_session_replaces_in_the_package_is_part_of_the_key(experiment, monkeypatch):
    usual = experiment.code(attribution.tracked)
    assert definitions.replaced(definitions.of(attribution.tracked, Experiment, without=KEYED)) == {}
    with monkeypatch.context() as patch:
        patch.setattr(attribution, "CURVATURE_POINTS", 3)
        fewer = experiment.code(attribution.tracked)
        patch.setattr(attribution, "CURVATURE_POINTS", 4)
        assert len({usual, fewer, experiment.code(attribution.tracked)}) == 3
    with monkeypatch.context() as patch:
        patch.setattr(attribution, "_bend", lambda model, tokens, selections: 1.0)
        one = experiment.code(attribution.tracked)
        patch.setattr(attribution, "_bend", lambda model, tokens, selections: 2.0)
        assert len({usual, one, experiment.code(attribution.tracked)}) == 3
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "examples", lambda self, name: self.sets["heldout"])
        assert experiment.code(Experiment.answers) != usual
    assert experiment.code(attribution.tracked) == usual


def test_a_stop_is_kept_under_its_own_measure_and_target(experiment):
    variant = Variant("first epoch")
    usual = experiment.calibrated(variant)
    lower = experiment.calibrated(variant, target=experiment.target() / 2 + usual.value / 2 - 0.01)
    assert lower.step_size != usual.step_size
    assert experiment.calibrated(variant, target=experiment.target()) == usual

    class Stricter(Experiment):
        def target(self):
            return 0.9

    assert Stricter("smoke", 0).calibrated(variant).step_size < usual.step_size
    assert experiment.calibrated(variant) == usual

    class Doubled(Experiment):
        def forget_probability(self, model):
            return 2 * super().forget_probability(model)

    assert Doubled("smoke", 0).calibrated(variant, target=2 * experiment.target()).value == pytest.approx(
        2 * usual.value, rel=0.2
    )


@pytest.mark.parametrize(
    ("file", "table", "row"),
    [
        (
            "measures/evaluation.py",
            "METRICS: dict[str, Metric]",
            '"mine": lambda rows: rows["text_nll"].to_numpy() + 1',
        ),
        ("methods/named.py", "METHODS", '"mine": Method(live_ascent, frozenset({"forget", "retain"}))'),
        ("models/layers.py", "LAYERS: dict", '"mine": lambda model, rows: _everything(model)'),
    ],
    ids=["a metric", "a method", "a layer"],
)
def test_a_new_row_makes_no_notebook_and_no_model_stale(tmp_path, file, table, row):
    """The smallest edit that adds a metric, a method or a layer, in a copy of the package with the real notebooks."""
    for folder in ("unlearnlib", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    program = f"""
        from pathlib import Path
        from unlearnlib.core import definitions, fingerprint, sources
        from unlearnlib.experiment.trained import KEYED, TRAINED_BY
        def codes():
            sources.look_again()
            notebooks = sorted(Path("notebooks").glob("*.ipynb"))
            found = [definitions.code(*fingerprint.notebook_trees(path)) for path in notebooks]
            return [*found, definitions.code(TRAINED_BY, without=KEYED)]
        before = codes()
        path = Path("unlearnlib") / {file!r}
        text = path.read_text()
        at = text.index("{{\\n", text.index({table!r}))
        path.write_text(text[: at + 2] + "    " + {row!r} + ",\\n" + text[at + 2 :])
        after = codes()
        print(before == after)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    assert result.stdout == "True\n", result.stderr


def test_a_changed_file_is_named_before_old_code_is_used(tmp_path):
    shutil.copytree(ROOT / "unlearnlib", tmp_path / "unlearnlib", ignore=shutil.ignore_patterns("__pycache__"))
    program = """
        from pathlib import Path
        from unlearnlib.core import definitions
        from unlearnlib.measures import evaluation
        path = Path(evaluation.__file__)
        before = definitions.code("unlearnlib.measures.evaluation:ask")
        definitions.check_unchanged(["unlearnlib.measures.evaluation"])
        path.write_text(path.read_text() + "\\nMORE = 1\\n")
        assert definitions.code("unlearnlib.measures.evaluation:ask") == before
        try:
            definitions.check_unchanged(["unlearnlib.measures.evaluation", "unlearnlib.data.batches"])
        except ValueError as error:
            print(error)
        """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )  # fmt: skip
    expected = (
        "restart the kernel: unlearnlib/measures/evaluation.py changed since it was imported; the old code still runs\n"
    )
    assert (result.stdout, result.returncode) == (expected, 0), result.stderr


def test_the_parts_of_a_notebook_leave_figures_and_errors_out():
    source = next((ROOT / "notebooks").glob("04_*.ipynb"))
    figures = [name for name in sources.current().texts if name.startswith("unlearnlib.figures")]
    found = definitions.of(*fingerprint.notebook_trees(source), without=figures)
    assert not [name for name in found if "figures" in name or "errors" in name]
    assert {
        "unlearnlib.statistics.paired:compare_methods",
        "unlearnlib.experiment.measured:Experiment.frontier",
    } <= set(found)
    assert "unlearnlib.experiment.attribution:attribute" not in found
