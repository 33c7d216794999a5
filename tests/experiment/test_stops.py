"""Two stops and whole paths, on the tiny experiment: against computations by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from unlearnlib.experiment import stops, study, towards, writing
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.gradients import algebra

EMBEDDING = Variant("embedding", layers="embedding")


def by_hand(values, count):
    values = np.asarray(values, float)
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) * np.sqrt(1 / len(values) + 1 / count)
    return values.mean() + half


def test_what_the_retrained_model_does_by_chance_is_allowed(experiment):
    found, count = stops.levels(experiment), len(experiment.split.forget)
    rows = experiment.references().query("method == 'retrained' and metric == 'cloze_hit'")
    rows = rows[rows["set"].isin(["forget", "paraphrase"])]
    written = writing.rouge_at(experiment, "retrained", sets=["forget"]).query("metric == 'rougeL_f1'")
    assert found["cloze_hit"] == pytest.approx(by_hand(rows["value"], count))
    assert found["rougeL_f1"] == pytest.approx(by_hand(written["value"], count))
    unseen, trained = (stops.excess(experiment, found, experiment.model(name)) for name in ("retrained", "finetuned"))
    assert len(rows) == 4 * count and unseen <= 0 < trained


def test_excess_is_that_of_the_completions_then_that_of_the_measure_which_is_further_up(experiment):
    evaluated = experiment.references().query("method == 'finetuned' and set == 'forget' and metric == 'cloze_hit'")
    written = writing.rouge_at(experiment, "finetuned", sets=["forget"]).query("metric == 'rougeL_f1'")
    completed, rouge = evaluated["value"].mean(), written["value"].mean()
    for up, other in ((0.1, 0.9), (1.5, 0.1), (1.5, 1.2)):
        expected = completed - up if completed > up else max(completed - up, rouge - other)
        found = stops.excess(experiment, {"cloze_hit": up, "rougeL_f1": other}, experiment.finetuned)
        assert found == pytest.approx(expected)


def test_nothing_is_written_while_facts_are_completed(experiment, monkeypatch):
    monkeypatch.setattr(stops.generation, "generations", None)
    assert stops.excess(experiment, {"cloze_hit": -0.1, "rougeL_f1": 0.0}, experiment.finetuned) > 0


def test_the_first_stop_is_where_the_outputs_are_gone(experiment):
    found = stops.both(experiment, EMBEDDING)
    gone = found[stops.GONE]
    assert found[stops.EQUAL] == experiment.calibrated(EMBEDDING)
    assert gone.reached and gone.evaluated[0][0] == pytest.approx(stops.FROM * found[stops.EQUAL].step_size)
    allowed = stops.levels(experiment)
    with experiment.at(EMBEDDING, gone.step_size) as model:
        assert stops.excess(experiment, allowed, model) == pytest.approx(gone.value)
    before = [value for step, value in gone.evaluated if step < 0.9 * gone.step_size]
    assert before and min(before) > 0, "nothing before it is gone"


def test_divergences_are_those_of_a_loop_over_texts(experiment):
    found = towards.divergences(experiment, EMBEDDING, 1.0, ["forget"])
    with experiment.at(EMBEDDING, 1.0) as model, torch.no_grad():
        for name, text in zip(experiment.sets["forget"].names, experiment.sets["forget"].texts, strict=True):
            tokens = torch.tensor([text])
            ours, theirs = (
                one(tokens).logits[0, :-1].double().log_softmax(-1) for one in (model, experiment.retrained)
            )
            expected = float((theirs.exp() * (theirs - ours)).sum(-1).mean())
            assert found.set_index("example")["value"][name] == pytest.approx(expected, rel=1e-3)
    assert towards.divergences(experiment, "retrained", sets=["retain"])["value"].abs().max() < 1e-6
    reworded = towards.divergences(experiment, "finetuned", sets=["paraphrase"])
    assert list(reworded["example"]) == [f"{name}#0" for name in experiment.sets["forget"].names]


def test_a_path_is_looked_at_from_doing_nothing_on(experiment):
    table = towards.along(experiment, EMBEDDING)
    assert sorted(table["step"].unique()) == list(range(len(towards.FRACTIONS) + 1))
    calibrated = experiment.calibrated(EMBEDDING).step_size
    steps = table.drop_duplicates("step")["step_size"].to_numpy()
    assert steps == pytest.approx(calibrated * np.array([0.0, *towards.FRACTIONS]))
    start = table.query("step == 0 and set == 'forget'")["value"].item()
    assert start == pytest.approx(towards.divergences(experiment, "finetuned", sets=["forget"])["value"].mean())
    few = towards.along(experiment, EMBEDDING, fractions=(0.5, 1.0)).query("step > 0")
    same = table[table["step_size"].isin(few["step_size"])]
    assert few["step_size"].unique() == pytest.approx(calibrated * np.array([0.5, 1.0]))
    assert few["value"].tolist() == same["value"].tolist() and few["step"].unique().tolist() == [1, 2]
    trained = Variant("cut short", "truncated retraining", options={"epochs": [1, 2]})
    stopped = towards.along(experiment, trained)
    assert stopped.drop_duplicates("step")["step_size"].tolist() == list(experiment.path(trained).stops)
    nearer = stopped.query("set == 'forget'").set_index("step")["value"]
    assert nearer[2] < nearer[1], "the longer training is nearer to the whole one"


def test_the_cosine_says_whether_the_way_leads_to_the_retrained_model(experiment):
    there, before = dict(experiment.retrained.named_parameters()), dict(experiment.finetuned.named_parameters())
    wanted = torch.cat([(there[name] - before[name]).flatten() for name in before]).double()
    change = experiment.path(EMBEDDING).change(1.0)
    mine = torch.cat([change.get(name, torch.zeros_like(before[name])).flatten() for name in before]).double()
    expected = float(torch.nn.functional.cosine_similarity(mine, wanted, dim=0).detach())
    assert towards.cosine(experiment, EMBEDDING, 1.0) == pytest.approx(expected, rel=1e-5)
    assert algebra.dot({"a": torch.ones(2)}, {"b": torch.ones(2)}) == 0.0


def test_the_factorial_is_every_combination_once(experiment):
    found = distinct(study.factorial())
    assert len(found) == len(study.EPOCHS) * len(study.PLACES) * len(study.KINDS)
    names = pd.DataFrame([variant.name.split(", ") for variant in found])
    assert [set(names[column]) for column in names] == [set(study.EPOCHS), set(study.PLACES), set(study.KINDS)]
    usual = {variant.name: variant for variant in study.variants(experiment)}
    same = {variant.name: variant for variant in found}
    pairs = {
        "first epoch, whole model, plain": "first epoch",
        "all epochs, whole model, plain": "all epochs",
        "first epoch, embedding, plain": "embedding",
        "first epoch, last blocks, plain": "last two blocks",
        "first epoch, whole model, preconditioned": "preconditioned",
    }
    for names in pairs.items():
        one, other = (
            many[name].path(experiment.request).change(1.0) for many, name in zip((same, usual), names, strict=True)
        )
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
