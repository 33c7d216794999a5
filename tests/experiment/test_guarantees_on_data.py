"""The guarantees on the smallest profile: every table is what its numbers say, and the last one puts them together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError
from unlearnlib.data.records import load_records
from unlearnlib.experiment import certificates, exactly, heads, manifests, promised
from unlearnlib.guarantees import certified, promises
from unlearnlib.training import storage

PROMISE = certificates.Promise()


def label(record):
    return record.answer.startswith(("a ", "an ", "the "))


@pytest.fixture(scope="module")
def head(experiment):
    return heads.of(experiment, label)


def test_a_feature_is_the_base_models_state_at_the_end_of_the_prompt(experiment, head):
    import torch

    from unlearnlib.data import batches

    records = {record.id: record for record in experiment.split.forget}
    states = []
    for name in head.forget[:3]:
        ids = torch.tensor([batches.encode_text(experiment.tokenizer, records[name].prompt)])
        with torch.no_grad():
            states.append(experiment.base(ids, output_hidden_states=True).hidden_states[-1][0, -1].double())
    text = heads.states(
        experiment.base, [batches.encode_text(experiment.tokenizer, records[name].prompt) for name in head.forget[:3]]
    )
    for one, other in zip(states, text, strict=True):
        assert np.allclose(one.numpy(), other[-1], atol=1e-5)
    assert head.features.shape == (len(head.names), heads.WIDTH) and set(head.forget) <= set(head.names)


def test_no_feature_depends_on_what_is_forgotten(experiment, head):
    """General text gives the scale: features of the neighbours are the same whoever is to be forgotten."""
    other = experiment.beside(experiment.setting)
    other.split = experiment.split.forgetting(head.forget[:1])
    again = heads.of(other, label)
    kept = [name for name in again.names if name not in head.forget]
    rows = [[names.index(name) for name in kept] for names in (head.names, again.names)]
    assert np.array_equal(head.features[rows[0]], again.features[rows[1]])


def test_a_label_that_parts_nobody_is_one_line(experiment):
    with pytest.raises(UserError, match="have the label True: give a label that parts them"):
        heads.of(experiment, lambda record: True)


def test_removals_add_up_and_doing_nothing_is_worse(experiment, head):
    table = certificates.removals(experiment, head, PROMISE)
    by = {way: rows.set_index("removed") for way, rows in table.groupby("way")}
    step, nothing, theirs = by["Newton step"], by["nothing done"], by["bounds of Guo et al."]
    assert step["bound"].is_monotonic_increasing and (step["residual"] <= step["bound"] + 1e-9).all()
    assert (step["bound"] <= theirs["bound"]).all() and (step["epsilon"].iloc[1:] < nothing["epsilon"].iloc[1:]).all()
    assert (by["trained again when due"]["epsilon"] <= PROMISE.epsilon + 1e-9).all()
    assert step["epsilon"].iloc[3] == pytest.approx(
        certified.gaussian_epsilon(step["bound"].iloc[3] / PROMISE.noise, 0.9 * PROMISE.delta)
    )
    prices = certificates.prices(experiment, head, PROMISE, [0.0, 0.15, 5.0]).set_index("noise")
    assert prices["removals"].is_monotonic_increasing and prices.loc[0.0, "removals"] == 0


def test_the_audit_keeps_the_promise_and_finds_out_the_rest(experiment, head):
    table = certificates.audited(experiment, head, PROMISE, 300).set_index("way")
    assert table.loc["Newton step", "shown"] <= PROMISE.epsilon and table.loc["retrained twice", "shown"] < 0.5
    for way in ("nothing done", "wrong sign", "one row left in", "without noise"):
        assert table.loc[way, "shown"] > PROMISE.epsilon, way


def test_the_ledger_keeps_its_promise_one_after_the_other(experiment, head):
    few = replace(PROMISE, noise=0.02)  # a budget that the few texts of this profile use up
    table = certificates.audited_in_sequence(experiment, head, few, 200).set_index("way")
    ours = table.loc[certificates.MANY]
    assert ours["shown"] <= few.epsilon and 0.7 < ours["used"] < 1
    assert 0 < ours["removed"] < len(head.forget), "audited where a training is due next"
    assert np.isinf(table.loc[certificates.BY_THE_NOISE, "promised"])
    both = pd.concat([certificates.audited(experiment, head, PROMISE, 300), table.reset_index()])
    said = promised.measured({"removals": certificates.removals(experiment, head, PROMISE), "audited": both})
    assert (
        "at most shown of removals; more than promised of wrong ones (nothing done in 1 of 1"
        in (said["certified removal"])
    )


def test_what_forgets_exactly_does(experiment, head):
    assert exactly.sums(experiment, head)["difference"].max() < 1e-10
    table = exactly.clustered(experiment, head, 3, [2], [0.0, 0.1], [4])
    assert table["equal"].all() and table.set_index("way").loc["tree", "work"] < 1
    shares = exactly.shares(experiment, [(5, 1)], keys=200)
    by = shares.set_index(["texts", "placed"])
    most = shares["texts"].max()
    assert by.loc[(most, "person"), "share"] < by.loc[(most, "text"), "share"]
    near = by.dropna(subset="expected")
    assert np.allclose(near["share"], near["expected"], atol=0.06)


def test_a_shard_that_forgot_is_one_trained_without(experiment):
    table = exactly.ensemble(experiment, 2)
    assert table["equal"].all() and set(table["model"]) == {"whole", "shards", "shards, forgotten"}
    assert table["answer_probability"].between(0, 1).all() and (table["share"] <= 1).all()


@pytest.mark.slow
def test_the_second_program_verifies_the_replay_and_finds_out_every_change(experiment):
    table = manifests.verified(experiment).set_index("case")
    assert table["retrained"].all() and table.loc[manifests.AS_WRITTEN, "exit"] == 0, table.loc[
        manifests.AS_WRITTEN, "line"
    ]
    changed = table.drop(manifests.AS_WRITTEN)
    assert (changed["exit"] == 1).all() and changed["line"].str.startswith("not verified: ").all()
    assert not table["line"].str.contains("\n").any()
    folder = manifests.written(experiment)
    model = experiment.load("retrained")
    storage.load_parameters(folder / "weights.safetensors", model)
    for one, other in zip(model.parameters(), experiment.retrained.parameters(), strict=True):
        assert (one == other).all()


def test_the_table_of_promises_has_what_was_measured_and_says_what_was_not(experiment, head):
    found = {"removals": certificates.removals(experiment, head, PROMISE), "sums": exactly.sums(experiment, head)}
    table = promised.table(found)
    assert list(table.index) == list(promises.PROMISES) and (table != "").all().all()
    assert "if nothing is done" in table.loc["certified removal", "measured"]
    assert "ridge regression: differs by" in table.loc["sums", "measured"]
    assert table.loc["SISA", "measured"] == "not measured in this run"
    with pytest.raises(UserError, match="no guarantee 'k-mean': did you mean 'k-means'"):
        promises.table({"k-mean": "x"})


def test_the_label_of_the_notebook_parts_every_persons_facts():
    for name in ("dave", "never_seen", "neighbours"):
        share = np.mean([label(record) for record in load_records(paths.DATA / f"{name}.jsonl")])
        assert 0.3 < share < 0.7
