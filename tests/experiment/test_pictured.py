"""Networks that forget images, cached, and what is made of their answers."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import pictured
from unlearnlib.experiment.pictured import CONTROL, Images, Step, Task
from unlearnlib.images import pictures, recorded
from unlearnlib.images.recorded import Along
from unlearnlib.images.training import Schedule


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        few = pictures.load().at(range(240))
        patch.setattr(pictures, "load", lambda source: few)
        yield


@pytest.fixture(scope="module")
def images(runs):
    return Images("smoke", 0, Task(kind="mislabelled", schedule=Schedule(epochs=20, batch=32)))


def worse(net, retain, forget, validation):
    """An entry as a participant would write it: all it gets are a network and three loaders."""
    total = sum(len(labels) for loader in (retain, forget, validation) for _, labels in loader)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.5 * torch.randn_like(parameter) * (total > 0)
    return net


def test_a_network_is_trained_once(images, monkeypatch):
    first = images.original(0)[0]
    code = pictured.definitions.code(pictured._train, pictures.parted, pictured.networks.new)
    monkeypatch.setattr(pictured.definitions, "code", lambda *roots: code)  # not that of what stands in its place
    monkeypatch.setattr(pictured, "_train", lambda *given: pytest.fail("trained twice"))
    again = Images("smoke", 0, images.task)
    assert torch.equal(again.original(0)[0].conv1.weight, first.conv1.weight)


def test_pairs_begin_with_the_same_weights_and_the_reference_with_others(images, monkeypatch):
    begun = []

    def train(net, parts, schedule, seed, recording, each, folder):
        begun.append((net.conv1.weight.detach().clone(), seed, recording, each, schedule.epochs))
        raise UserError("stopped")

    monkeypatch.setattr(pictured, "_train", train)
    for make in (
        lambda: images.original(7),
        lambda: images.retrained(7),
        lambda: images.reference(7),
        lambda: images.retrained(7, 4),
        lambda: Images("smoke", 1, images.task).original(7),
    ):
        with pytest.raises(UserError, match="stopped"):
            make()
    weights, seeds = [one[0] for one in begun], [one[1] for one in begun]
    assert torch.equal(weights[0], weights[1]) and torch.equal(weights[0], weights[3])
    assert not torch.equal(weights[0], weights[2]) and not torch.equal(weights[0], weights[4])
    assert len(set(seeds)) == 4 and seeds[1] == seeds[3], "each its own order"
    assert [one[2:] for one in begun[:4]] == [
        (True, False, 20),
        (False, False, 20),
        (False, False, 20),
        (False, False, 4),
    ]


def test_what_is_recorded_comes_back_from_disk(images):
    net, found = images.original(0)
    assert set(found.sums) == {"forget", CONTROL} and set(found.sums["forget"]) == set(recorded.EPOCHS)
    assert len(found.path) == 20 and set(found.moments) == {name for name, _ in net.named_parameters()}
    torch.testing.assert_close(
        found.each["fc2.weight"].sum(0), found.sums["forget"]["first"]["fc2.weight"], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("way", ["nothing done", "retrained", Step(epochs="all"), worse])
def test_answers_are_those_of_the_network_that_a_way_makes(images, way):
    table = images.asked("it", way, [0, 1])
    assert list(table["number"].unique()) == [0, 1] and set(table["set"]) == set(pictured.SETS)
    net, effort, _ = images._after(way, 1)
    rows = table[(table["number"] == 1) & (table["set"] == "forget")]
    logits = recorded.logits(net, images.parts.forget.images).double()
    labels = images.parts.forget.labels
    assert rows["loss"].to_numpy() == pytest.approx(torch.nn.functional.cross_entropy(logits, labels, reduction="none"))
    assert rows["right"].tolist() == (logits.argmax(1) == labels).tolist()
    assert rows["true"].tolist() == (logits.argmax(1) == images.parts.truth).tolist()
    p = recorded.logits(images.reference(1), images.parts.forget.images).double().softmax(1)
    assert rows["kl"].to_numpy() == pytest.approx(stats.entropy(p, logits.softmax(1), axis=1), abs=1e-6)
    assert rows["effort"].iloc[0] == pytest.approx(effort, nan_ok=True)
    if way == "retrained":
        assert (table["share"] == 1).all() and rows["kl"].mean() > 0
        reference = images.asked("it", pictured.REFERENCE, [1])
        assert reference["kl"].abs().max() < 1e-12
    if isinstance(way, Step):
        assert (table["effort"] > 0).all() and (table["share"] < 1).all()


def test_one_row_a_network(images):
    answers = pd.concat([images.asked(name, name, [0, 1]) for name in ("nothing done", "retrained")])
    found = pictured.by_network(answers)
    assert len(found) == 4
    row = found[(found["method"] == "nothing done") & (found["number"] == 1)].iloc[0]
    one = answers[(answers["method"] == "nothing done") & (answers["number"] == 1)]
    losses = [one.loc[one["set"] == name, "loss"] for name in ("compared", "forget")]
    assert row["auc"] == pytest.approx(roc_auc_score([1] * 20 + [0] * 20, np.concatenate(losses)))
    assert row["forget"] == one.loc[one["set"] == "forget", "right"].mean()
    assert row["test"] == one.loc[one["set"] == "test", "right"].mean()
    assert row["kl_test"] == pytest.approx(one.loc[one["set"] == "test", "kl"].mean())


def test_the_score_is_that_of_the_networks_and_retrained_ones_are_not_perfect(images):
    """Drawn log-odds: the same distribution scores well below 1, another one lower, and only that is shown."""
    generator = np.random.default_rng(0)

    def drawn(method, shift):
        count = 40
        frame = pd.DataFrame(
            {"number": np.repeat(np.arange(24), count), "image": np.tile(np.arange(count), 24), "set": "forget"}
        )
        rows = frame.assign(log_odds=generator.normal(shift, 1, len(frame)))
        more = [frame.assign(set=name, log_odds=0.0) for name in ("retain", "test")]
        right = {"same": 0.9, "shifted": 0.45}.get(method, 0.9)
        table = pd.concat([rows, *more]).assign(method=method, seed=0, kind="random")
        return table.assign(right=np.arange(len(table)) % 20 < round(20 * right))

    retrained, given = drawn("reference", 0), [drawn("same", 0), drawn("shifted", 5), drawn("retrained", 0)]
    table = pictured.scores(pd.concat(given), retrained).set_index("method")
    assert table.loc["shifted", "of_ceiling"] == pytest.approx(table.loc["shifted", "F"] / table.loc["retrained", "F"])
    assert 0.05 < table.loc["same", "F"] < 0.4 and table.loc["shifted", "F"] < 0.01
    assert table.loc["same", "shown"] < 0.05 < 0.8 < table.loc["shifted", "shown"]
    assert table.loc["same", "score"] == pytest.approx(table.loc["same", "F"])
    assert table.loc["shifted", "score"] == pytest.approx(table.loc["shifted", "F"] * 0.25), "both ratios are a half"
    assert (table["networks"] == 24).all()
    assert table.loc["shifted", "shown"] <= pictured.most_shown(24) < 1.1
    with pytest.raises(UserError, match="of one seed and one kind"):
        pictured.scores(pd.concat([given[0], given[1].assign(seed=1)]), retrained)


def test_gradients_by_epoch_and_by_image(images):
    paths = pictured.gradients(images, [0])
    assert paths["epoch"].tolist() == list(range(1, 21)) and paths["cosine"].abs().max() <= 1
    own = pictured.own_share(images, 0)
    each = images.original(0)[1].each
    flat = torch.cat([value.flatten(1) for value in each.values()], 1).numpy().astype(float)
    labels = images.parts.forget.labels.numpy()
    others = [row for row in range(20) if labels[row] == labels[3] and row != 3]
    if others:
        total = flat[others].sum(0)
        expected = flat[3] @ total / np.linalg.norm(flat[3]) / np.linalg.norm(total)
        assert own.loc[3, "same"] == pytest.approx(expected, rel=1e-4)
    rest = flat[labels != labels[3]].sum(0)
    assert own.loc[3, "other"] == pytest.approx(
        flat[3] @ rest / np.linalg.norm(flat[3]) / np.linalg.norm(rest), rel=1e-4
    )


def test_an_entry_may_return_nothing_and_draws_from_a_seed_of_its_own(images):
    def in_place(net, retain, forget, validation):
        with torch.no_grad():
            net.fc2.bias += torch.tensor(np.random.normal(size=10))  # by numpy's generator

    before = np.random.get_state()[1].tolist()
    once, again = (images._after(in_place, 0)[0].fc2.bias for _ in range(2))
    assert torch.equal(once, again) and not torch.equal(once, images.original(0)[0].fc2.bias)
    assert np.random.get_state()[1].tolist() == before, "and others draw on as before"


def test_two_directions_are_two_ways(images):
    net, found = images.original(0)
    ways = [
        Along(recorded.of_some(found, net, "fc2", rows), images.parts.unseen)
        for rows in ([0, 1, 2], [3, 4, 5], [0, 1, 2])
    ]
    tables = [images.asked("it", way, [0])["log_odds"] for way in ways]
    assert not tables[0].equals(tables[1]) and tables[0].equals(tables[2])


def test_a_random_direction_is_not_that_of_the_first_weights(images):
    cosines = []
    for number in range(20):
        towards = images._towards(Step("conv1", pictured.AT_RANDOM), images._new(0), None, number)["conv1.weight"]
        begun = images._new(images._seed("weights", number, False)).conv1.weight
        cosines.append(float(torch.cosine_similarity(towards.flatten(), begun.detach().flatten(), dim=0)))
    assert abs(np.mean(cosines)) < 3 * np.std(cosines) / 20**0.5


def test_a_part_of_a_step_changes_these_layers_alone(images):
    net = images.original(0)[0]
    whole, part = (images._after(Step(epochs="all", only=only), 0) for only in ("", "fc1+fc2"))
    assert part[1] == pytest.approx(whole[1]), "the stop is that of the whole"
    for name, value in net.named_parameters():
        wanted = dict(whole[0].named_parameters())[name] if name.startswith("fc") else value
        assert torch.equal(dict(part[0].named_parameters())[name], wanted), name


def test_the_effect_of_a_part_is_its_share_of_the_whole_fall():
    rows = [(0, "random", 0, name, odds) for name, odds in (("nothing done", 10.0), ("whole", 2.0), ("part", 8.0))]
    table = pd.DataFrame(rows, columns=["seed", "kind", "number", "method", "odds_forget"])
    found = pictured.effect_of_part(table, "whole").set_index("method")["value"]
    assert found.to_dict() == {"whole": 1.0, "part": 0.25}
    with pytest.raises(UserError, match="lacks the rows of 'hole'"):
        pictured.effect_of_part(table, "hole")


def test_slips_are_named(images):
    with pytest.raises(UserError, match="no model 'retraind': did you mean 'retrained'"):
        images.asked("it", "retraind", [0])
    with pytest.raises(UserError, match="the entry returned a dict: return the network"):
        images.asked("it", lambda net, retain, forget, validation: {}, [0])
    with pytest.raises(UserError, match=r"the network answers \(20, 8, 8\): \(20, 10\) finite logits"):
        images.asked("it", lambda net, retain, forget, validation: torch.nn.Flatten(1, 2), [0])
    with pytest.raises(UserError, match="give a function of a network and three loaders"):
        images.asked("it", 3, [0])
    with pytest.raises(UserError, match="no networks to ask"):
        images.asked("it", "retrained", [])
    with pytest.raises(UserError, match="network number -1"):
        images.asked("it", "retrained", [-1])
    with pytest.raises(UserError, match="seed -1 is no whole number"):
        Images("smoke", -1)
    with pytest.raises(UserError, match="a step 'live' is plain"):
        Step(epochs="live", whose=CONTROL)
    with pytest.raises(UserError, match="of network 1 no gradients of single images were kept"):
        pictured.own_share(images, 1)
