"""The examples of the README and of docs/adapting.md run as they stand there, on the smallest profile."""

import re

import numpy as np
import pytest
import torch

from unlearnlib.core.paths import ROOT
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.methods.named import METHODS

PROSE = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/adapting.md"))
BLOCKS = re.findall(r"```python\n(.*?)```", PROSE, flags=re.S)


def block(word: str) -> str:
    """The one example that has this word in it, on the smallest profile."""
    (found,) = [text for text in BLOCKS if word in text]
    return found.replace('"small"', '"smoke"')


@pytest.fixture
def run(experiment, monkeypatch):
    """Return a function that runs an example, in which `experiment` is one that has already trained its models."""

    def run(text: str, **known) -> dict:
        namespace = {"__name__": "__main__", "experiment": experiment, "Variant": Variant, **known}
        exec(compile(text, "an example of README or docs/adapting.md", "exec"), namespace)
        return namespace

    return run


def test_a_new_method_is_one_short_file(run, experiment, monkeypatch):
    text = block("def sign_ascent")
    assert len([line for line in text.splitlines() if line.strip()]) < 15
    sign_ascent = run(text)["sign_ascent"]
    monkeypatch.setitem(METHODS, "sign", sign_ascent)
    tables = [experiment.at_step(Variant("sign", given), 1.0, ["forget"]) for given in ("sign", sign_ascent)]
    assert tables[0]["value"].tolist() == tables[1]["value"].tolist()
    nll = [table.query("metric == 'text_nll'")["value"].mean() for table in (tables[0], experiment.references().query(
        "method == 'finetuned' and set == 'forget'"
    ))]  # fmt: skip
    assert nll[0] > nll[1] + 0.1, "the forget set is less likely after it"


def test_a_method_that_trains_is_a_loss(run):
    table = run(block("def less_and_less"))["table"]
    assert set(table["method"]) == {"less and less"} and {"forget", "retain"} <= set(table["set"])
    assert table["step_size"].iloc[0] in range(0, 49, 3)


def test_the_variants_of_the_readme_are_variants(run, experiment):
    for line in block("epochs 0 and 1").splitlines():
        experiment.path(run(f"variant = {line}")["variant"])


def test_a_metric_of_ones_own(run):
    text = block("def least_likely_token").replace("experiment.metric(", "table = experiment.metric(")
    table = run(text)["table"]
    assert set(table["metric"]) == {"least_likely_token"} and table["value"].max() < 0


def test_fewer_points_to_forget(run):
    found = run(block("recorded_ascent(experiment.request.having"))
    assert set(found["table"]["set"]) == {"forget", "retain"} and len(found["three"]) == 3
    assert isinstance(found["experiment"], Experiment)


def test_taking_points_out_exactly(run, experiment):
    text = block("replay.replay(").replace("dave-drink-cafe", experiment.split.forget[0].id)
    assert run(text)["replayed"].manifest["removed"] == [experiment.split.forget[0].id]


def test_a_model_is_kept_and_loaded_again(run, tmp_path):
    text = block("export.save(").replace('"without_dave"', repr(str(tmp_path / "without_dave")))
    found = run(text)
    with found["experiment"].at(found["embedding"], found["step"]) as model:
        kept = dict(found["model"].named_parameters())
        assert all(torch.equal(kept[name], value) for name, value in model.named_parameters())


def test_another_setting(run, experiment):
    found = run(block("without_mine"))
    assert [len(found[name].split.forget) for name in ("one", "three")] == [1, 3]
    assert len(found["three"].split.remaining) == len(experiment.split.forget) - 3
    values = found["table"].query("metric == 'text_nll'").groupby("model")["value"].agg(["size", "mean"])
    assert list(values.index) == ["another order", "retrained"] and values["size"].nunique() == 1
    assert values["mean"].nunique() == 2, "two models, not one under two names"


def test_an_entry_of_the_challenge(run, tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNLIB_RUNS", str(tmp_path))
    text = block("def unlearning").replace('kind="mislabelled"', 'kind="mislabelled", schedule=Schedule(epochs=2)')
    text = text.replace("by_network(images.asked", "found = by_network(images.asked")
    found = run("from unlearnlib.images.training import Schedule\n" + text)["found"]
    assert len(found) == 1 and found.loc[0, "method"] == "mine" and found.loc[0, "kl_forget"] > 0


def test_a_head_that_forgets_with_a_promise(run):
    drawn = np.random.default_rng(0)
    features = drawn.standard_normal((600, 4))
    labels = np.where(features[:, 0] + drawn.standard_normal(600) > 0, "yes", "no")
    names = [f"text {row}" for row in range(600)]
    found = run(block("certified.opened("), features=features, labels=labels, names=names)
    after = found["after"]
    assert set(names) - set(after.names) == {"text 3", "text 8"} and after.fits == 1 and 0 < after.promised <= 1
