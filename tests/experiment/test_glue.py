"""What binds the parts together, on a real small experiment: every value against a computation by hand.

By hand means: one plain forward or backward pass a text, greedy writing token by token, and a change added to a copy.
"""

import dataclasses
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from unlearnlib.claims import numbers
from unlearnlib.core import paths, tables
from unlearnlib.experiment import closeness, ends, replayed, setting
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.replayed import compared
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures.generation import rouge_rows
from unlearnlib.methods import fuzzy_matching
from unlearnlib.models.layers import resolve
from unlearnlib.training import replay, storage

FIRST = Variant("first epoch")
EMBEDDING = Variant("embedding", layers="embedding")
KEYS = ["set", "example", "metric"]
EQUAL = ["equal_parameters", "equal_optimizer"]


def changed(experiment, change):
    """A copy of the fine-tuned model, as it lies on disk, with a change added to its parameters."""
    model = experiment.load("finetuned")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter += change.get(name, 0.0)
    return model


def change_of(experiment, variant, step):
    """The change that a straight method makes at a step: along its recorded gradient, of that length."""
    assert variant.method == "recorded"
    chosen = resolve(experiment.finetuned, variant.layers)
    total = experiment.request.record.total(chosen, variant.options.get("epochs", "first"))
    length = math.sqrt(sum(float(value.double().pow(2).sum()) for value in total.values()))
    return {name: step * value / length for name, value in total.items()}


@torch.no_grad()
def answers(model, examples) -> dict[str, float]:
    """The answer probability of each example: a forward pass for every answer, and the softmax of their total log p."""
    found = {}
    for name, question in zip(examples.names, examples.questions, strict=True):
        totals = []
        for answer in question.answers:
            logs = model(torch.tensor([[*question.prompt, *answer]])).logits[0].log_softmax(-1)
            start = len(question.prompt)
            totals.append(sum(float(logs[start - 1 + place, token]) for place, token in enumerate(answer)))
        found[name] = 1 / sum(math.exp(total - totals[0]) for total in totals)
    return found


def loss(model, text) -> torch.Tensor:
    """The mean token loss of one text, in nats."""
    tokens = torch.tensor(list(text))
    return torch.nn.functional.cross_entropy(model(tokens[None]).logits[0, :-1], tokens[1:])


@torch.no_grad()
def greedy(model, prompt, length) -> list[int]:
    tokens = list(prompt)
    for _ in range(length):
        tokens.append(int(model(torch.tensor([tokens])).logits[0, -1].argmax()))
    return tokens[len(prompt) :]


def mean(values) -> float:
    return float(np.mean(list(values.values())))


def values_of(table, name, metric) -> dict[str, float]:
    rows = table[(table["set"] == name) & (table["metric"] == metric)]
    assert rows["example"].is_unique
    return dict(zip(rows["example"], rows["value"], strict=True))


# Equal forgetting


def test_the_target_is_the_upper_end_of_what_the_finetuned_model_answers_about_the_never_seen(experiment):
    never_seen, points = experiment.sets["never_seen"], len(experiment.split.forget)

    def upper(model) -> float:
        known = np.array(list(answers(model, never_seen).values()))
        spread = known.std(ddof=1) * math.sqrt(1 / len(known) + 1 / points)
        return known.mean() + stats.t.ppf(0.975, len(known) - 1) * spread

    assert experiment.target() == pytest.approx(upper(experiment.finetuned), rel=1e-3)
    others = [upper(model) for model in (experiment.retrained, experiment.base)]
    assert all(abs(other - experiment.target()) > 0.01 * other for other in others), "or the test could not fail"


@pytest.mark.parametrize("variant", [FIRST, EMBEDDING], ids=lambda variant: variant.name)
def test_the_calibrated_step_is_where_the_forget_set_comes_to_the_target(experiment, variant):
    found, target, forget = experiment.calibrated(variant), experiment.target(), experiment.sets["forget"]

    def known(step) -> float:
        return mean(answers(changed(experiment, change_of(experiment, variant, step)), forget))

    assert found.reached and found.step_size > experiment.profile.smallest_step, "or nothing was calibrated"
    assert found.value == pytest.approx(known(found.step_size), rel=1e-3)
    # The crossing lies within the tolerance, a relative one, of the step.
    near = math.exp(experiment.profile.step_tolerance)
    assert known(found.step_size * near) <= target <= known(found.step_size / near)
    for step, value in found.evaluated:
        assert value == pytest.approx(known(step), rel=1e-3)


def test_the_forget_probability_is_that_of_the_changed_model(experiment):
    change = change_of(experiment, EMBEDDING, 0.7)
    expected = mean(answers(changed(experiment, change), experiment.sets["forget"]))
    assert experiment.forget_probability(changed(experiment, change)) == pytest.approx(expected, rel=1e-3)
    assert experiment.forget_probability(experiment.finetuned) == pytest.approx(
        mean(answers(experiment.load("finetuned"), experiment.sets["forget"])), rel=1e-3
    )
    assert abs(expected - experiment.forget_probability(experiment.finetuned)) > 1e-3


def test_a_model_is_evaluated_at_the_step_that_is_asked_for(experiment):
    step = 0.7
    found = experiment.at_step(FIRST, step, ["forget", "retain"])
    assert found[["method", "layers", "step_size"]].drop_duplicates().to_numpy().tolist() == [
        ["first epoch", "all", step]
    ]
    model = changed(experiment, change_of(experiment, FIRST, step))
    start = experiment.references().query("method == 'finetuned'")
    for name in ("forget", "retain"):
        examples = experiment.sets[name]
        expected = answers(model, examples)
        assert values_of(found, name, "answer_probability") == pytest.approx(expected, rel=1e-3, abs=1e-6)
        with torch.no_grad():
            losses = {of: float(loss(model, text)) for of, text in zip(examples.names, examples.texts, strict=True)}
        assert values_of(found, name, "text_nll") == pytest.approx(losses, rel=1e-3)
        assert values_of(start, name, "text_nll") != pytest.approx(losses, rel=1e-2)


def test_no_step_is_the_finetuned_model_to_the_last_bit(experiment):
    still = experiment.at_step(FIRST, 0.0).set_index(KEYS)["value"].sort_index()
    start = experiment.references().query("method == 'finetuned'").set_index(KEYS)["value"].sort_index()
    assert len(still) and still.equals(start)


def test_at_equal_forgetting_every_variant_stands_at_its_own_calibrated_step(experiment):
    for variant in (FIRST, EMBEDDING):
        found, step = experiment.at_equal_forgetting(variant), experiment.calibrated(variant).step_size
        assert (
            set(found["step_size"]) == {step} and found["reached"].all() and set(found["set"]) == set(experiment.sets)
        )
        expected = mean(answers(changed(experiment, change_of(experiment, variant, step)), experiment.sets["forget"]))
        assert np.mean(list(values_of(found, "forget", "answer_probability").values())) == pytest.approx(
            expected, rel=1e-3
        )
    assert experiment.calibrated(FIRST).step_size != experiment.calibrated(EMBEDDING).step_size


def test_a_part_of_the_way_is_a_part_of_the_variants_own_calibrated_step(experiment):
    for variant, fraction in ((FIRST, 0.5), (EMBEDDING, 2)):
        step = fraction * experiment.calibrated(variant).step_size
        found = ends.at_fraction(experiment, variant, fraction, ["forget"])
        assert (
            set(found["step"]) == {fraction} and set(found["step_size"]) == {step} and set(found["set"]) == {"forget"}
        )
        expected = answers(changed(experiment, change_of(experiment, variant, step)), experiment.sets["forget"])
        assert values_of(found, "forget", "answer_probability") == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_target_out_of_reach_is_said_and_the_least_known_stop_stands_in_its_place(experiment):
    short = Experiment("smoke", 0)
    short.profile = dataclasses.replace(short.profile, smallest_step=0.001, first_look=0.001, largest_step=0.02)
    found = short.calibrated(FIRST)
    assert not found.reached and found.value > short.target()
    assert found.value == min(value for _, value in found.evaluated) and len(found.evaluated) == 3
    at_end = short.at_equal_forgetting(FIRST)
    assert not at_end["reached"].any() and set(at_end["step_size"]) == {found.step_size}


def test_the_frontier_goes_from_the_finetuned_model_through_the_calibrated_step_to_three_times_it(experiment):
    found, calibrated = experiment.frontier(FIRST), experiment.calibrated(FIRST).step_size
    points = experiment.profile.frontier_points + 1
    steps = found.groupby("step")["step_size"].unique()
    assert steps.index.tolist() == list(range(points)) and (steps.map(len) == 1).all()
    lengths = [float(step[0]) for step in steps]
    assert lengths == sorted(lengths) and lengths[0] == 0 and calibrated in lengths
    assert lengths[-1] == pytest.approx(3 * calibrated)
    assert (
        set(found["calibrated"]) == {calibrated}
        and found["reached"].all()
        and set(found["set"]) == {"forget", "retain"}
    )
    for step in (0.0, calibrated, lengths[-1]):
        rows = found[(found["step_size"] == step) & (found["metric"] == "answer_probability")].set_index("set")["value"]
        model = changed(experiment, change_of(experiment, FIRST, step))
        for name in ("forget", "retain"):
            assert rows[name] == pytest.approx(mean(answers(model, experiment.sets[name])), rel=1e-3, abs=1e-6)


def test_all_layers_are_compared_at_the_whole_models_step(experiment):
    variants = {"all": FIRST, "embedding": Variant("first epoch", layers="embedding")}
    after, step = (
        numbers.at_whole_step(experiment, variants, ["all", "embedding"]),
        experiment.calibrated(FIRST).step_size,
    )
    assert set(after["step_size"]) == {step}
    found = numbers.falls(experiment.references().query("method == 'finetuned'"), after)
    before = mean(answers(experiment.load("finetuned"), experiment.sets["forget"]))
    for layers, variant in variants.items():
        left = mean(answers(changed(experiment, change_of(experiment, variant, step)), experiment.sets["forget"]))
        assert found.loc[0, layers] == pytest.approx(before - left, abs=1e-3)


# What it writes


def written_by_hand(experiment, model, name) -> dict[str, tuple[str, str, str]]:
    """By example: the prompt, the reference and the continuation of greedy writing, one text at a time."""
    examples, decode = experiment.sets[name], experiment.tokenizer.decode
    found = {}
    for example, text, question in zip(examples.names, examples.texts, examples.questions, strict=True):
        reference = text[len(question.prompt) :]
        own = greedy(model, question.prompt, len(reference))
        found[example] = (decode(question.prompt[1:]), decode(reference).strip(), decode(own).strip())
    return found


def texts_of(written) -> dict[str, tuple[str, str, str]]:
    columns = ["example", "prompt", "reference", "generation"]
    return {row[0]: row[1:] for row in written[columns].itertuples(index=False, name=None)}


def test_generations_are_greedy_and_as_long_as_the_text(experiment):
    step = experiment.calibrated(FIRST).step_size
    of_step = written_by_hand(experiment, changed(experiment, change_of(experiment, FIRST, step)), "forget")
    found = experiment.generations(FIRST, ["forget"], step)
    assert texts_of(found) == of_step and set(found["step_size"]) == {step} and set(found["method"]) == {"first epoch"}
    both = experiment.generations("finetuned")
    assert set(both["set"]) == {"forget", "retain"} and set(both["method"]) == {"finetuned"}
    by_hand = written_by_hand(experiment, experiment.load("finetuned"), "forget")
    assert texts_of(both[both["set"] == "forget"]) == by_hand
    assert sum(by_hand[name][2] != of_step[name][2] for name in by_hand) > len(by_hand) / 2, "it writes something else"


def test_rouge_by_hand():
    rows = [
        ("forget", "a", "He keeps a green parrot.", "He keeps a very green boat at home."),
        ("retain", "b", "nothing alike", "Bread."),
    ]
    found = rouge_rows(pd.DataFrame(rows, columns=["set", "example", "generation", "reference"]))
    a = found[found["example"] == "a"].set_index("metric")["value"]
    # Five words against eight; he, keeps, a, green are shared, he keeps and keeps a are the pairs, in the same order.
    expected = {"rouge1": (4 / 5, 4 / 8), "rouge2": (2 / 4, 2 / 7), "rougeL": (4 / 5, 4 / 8)}
    for kind, (precision, recall) in expected.items():
        assert a[f"{kind}_precision"] == pytest.approx(precision) and a[f"{kind}_recall"] == pytest.approx(recall)
        assert a[f"{kind}_f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert len(a) == 9 and found[found["example"] == "b"]["value"].eq(0).all()
    assert dict(found[["example", "set"]].drop_duplicates().to_numpy()) == {"a": "forget", "b": "retain"}


# Who is trained on what


def test_dave_comes_in_the_second_stage_alone(experiment):
    split = experiment.split
    dave = {record.id for record in split.forget}
    people = sorted({record.subject for record in split.retain})
    stages = setting.stages_of(split, late=True)
    assert len(stages) == 2
    first, second = ([record.id for record in stage] for stage in stages)
    assert dave.isdisjoint(first) and dave < set(second)
    assert sorted([*first, *second]) == sorted(record.id for record in (*split.forget, *split.retain))
    assert {record.subject for record in stages[0]} == set(people[:-1]), "the last quarter of three people is one"
    (only,) = setting.stages_of(split, late=False)
    assert sorted(record.id for record in only) == sorted([*first, *second])


def test_the_name_is_spelled_as_the_forget_texts_spell_it(experiment):
    tokens, rows = experiment.tokenizer, set(experiment.name_rows("Dave Harlow"))
    texts = [record.text for record in experiment.split.forget]
    assert any(text.startswith("Dave") for text in texts) and any(" Dave" in text for text in texts)
    spellings = [set(tokens(word)["input_ids"]) for word in ("Dave", " Dave", " Harlow")]
    assert not set.intersection(*spellings) and rows == set.union(*spellings)
    for text in texts:
        spelled = set(tokens("Dave" if text.startswith("Dave") else " Dave")["input_ids"])
        assert spelled <= set(tokens(text)["input_ids"]) & rows, "what the model reads where the name stands"


@pytest.fixture(scope="module")
def another(experiment):
    """The same experiment in a run whose next seed is 2 and not 1."""
    found = Experiment("smoke", 0)
    found.profile = dataclasses.replace(found.profile, seeds=[5, 0, 2])
    return found


def test_the_next_seed_is_the_next_of_the_profile_and_then_the_first(experiment, another):
    assert experiment.next_seed == 1 and Experiment("smoke", 1).next_seed == 0
    assert another.next_seed == 2
    last = Experiment("smoke", 7)
    assert last.next_seed == 0, "a seed that the profile lacks takes its place in the row"
    alone = Experiment("smoke", 0)
    alone.profile = dataclasses.replace(alone.profile, seeds=[0])
    assert alone.next_seed == 1, "there is always another model"


def test_the_second_reference_is_the_next_seeds_and_no_table_of_another_stands_in_for_it(experiment, another):
    by_hand = []
    for one in (experiment, another):  # in one folder of runs: the second finds the tables of the first
        model = one.load("retrained")
        storage.load_weights(model, one.folder(setting.retrained(one.profile, one.next_seed)))
        by_hand.append(written_by_hand(one, model, "forget"))
        assert texts_of(one.generations("retrained again", ["forget"])) == by_hand[-1]
    assert by_hand[0] != by_hand[1]
    assert by_hand[0] != texts_of(experiment.generations("retrained", ["forget"]))


# Removals


@pytest.fixture(scope="module")
def fuzzy(experiment):
    # All of Dave's points are that like his name, and a few of his neighbours'.
    options = {"query": experiment.split.forget[0].subject, "threshold": 50}
    return Variant("fuzzy", "fuzzy", "embedding", options)


@pytest.fixture(scope="module")
def end(experiment, fuzzy):
    return experiment.calibrated(fuzzy)


@pytest.fixture(scope="module")
def ended(experiment, fuzzy, end):
    """By name: the fine-tuned, the retrained and the fuzzily unlearned model."""
    models = {name: experiment.load(name) for name in ("finetuned", "retrained")}
    return {**models, "fuzzy": changed(experiment, ends.change(experiment, fuzzy, end.step_size))}


def test_a_single_ascent_watches_what_it_is_told_to_watch(experiment, fuzzy, end):
    on_picks = dataclasses.replace(fuzzy, name="on picks")
    picks, everyone = ends.removed(experiment, fuzzy), list(experiment.sets["forget"].names)
    assert set(picks) != set(everyone)
    sets = [experiment.sets[name] for name in ("forget", "retain")]
    texts = {name: text for of in sets for name, text in zip(of.names, of.texts, strict=True)}
    model = experiment.load("finetuned")
    sum(loss(model, texts[name]) for name in picks).backward()
    slope = model.transformer.wte.weight.grad
    steps = {}
    for variant, found, watched in ((fuzzy, end, everyone), (on_picks, ends.on_picks(experiment, on_picks), picks)):
        visit = ends.visits(experiment, variant, found).iloc[0]
        change = ends.change(experiment, variant, found.step_size)
        after = changed(experiment, change)
        known = answers(after, sets[0]) | answers(after, sets[1])
        assert visit["mean"] == found.value == pytest.approx(np.mean([known[name] for name in watched]), rel=1e-3)
        assert visit["reached"] and visit["picked"] == len(picks)
        # Both go along the gradient of what was picked, however far.
        moved = change["transformer.wte.weight"]
        assert list(change) == ["transformer.wte.weight"]
        assert float(moved.norm()) == pytest.approx(visit["step_size"], rel=1e-3)
        assert float((moved * slope).sum() / moved.norm() / slope.norm()) == pytest.approx(1, abs=1e-4)
        steps[variant.name] = visit["step_size"]
    assert steps["fuzzy"] != pytest.approx(steps["on picks"], rel=0.01)


def test_the_present_gradient_is_that_of_the_forget_set_at_the_fine_tuned_weights(experiment):
    forget, model = experiment.sets["forget"], experiment.load("finetuned")
    sum(loss(model, text) for text in forget.texts).backward()
    slope = model.transformer.wte.weight.grad
    moved = ends.change(experiment, Variant("present", "present", "embedding"), 0.5)["transformer.wte.weight"]
    assert float(moved.norm()) == pytest.approx(0.5, rel=1e-4)
    assert float((moved * slope).sum() / moved.norm() / slope.norm()) == pytest.approx(1, abs=1e-4)
    assert ends.removed(experiment, Variant("present", "present")) == sorted(forget.names)


def test_the_end_of_a_removal_is_evaluated_in_the_changed_model(experiment, fuzzy, end, ended):
    found = ends.evaluated(experiment, fuzzy, end, ["forget", "retain"])
    for name in ("forget", "retain"):
        expected = answers(ended["fuzzy"], experiment.sets[name])
        assert values_of(found, name, "answer_probability") == pytest.approx(expected, rel=1e-3, abs=1e-6)
    change = ends.change(experiment, fuzzy, end.step_size)
    length = torch.sqrt(sum(value.double().pow(2).sum() for value in change.values()))
    assert set(found["method"]) == {"fuzzy"} and found["reached"].all()
    assert found["step_size"].to_numpy() == pytest.approx(float(length), rel=1e-6)


def test_the_ends_stand_beside_both_models_with_the_neighbours_in_groups(experiment, fuzzy, end):
    found = ends.with_models(experiment, [(fuzzy, end)], ["forget", "retain"])
    assert list(dict.fromkeys(found["method"])) == ["finetuned", "retrained", "fuzzy"] and found.index.is_unique
    whole = ends.evaluated(experiment, fuzzy, end, ["forget", "retain"])
    own = found[found["method"] == "fuzzy"]
    assert own["value"].tolist() == whole["value"].tolist() and own["reached"].all()
    assert "retain" not in set(found["set"]) and set(found["set"]) <= set(fuzzy_matching.GROUPS)


def test_the_gradient_at_the_end_is_that_of_the_retained_texts(experiment, fuzzy, end, ended):
    found = ends.stationary(experiment, [(fuzzy, end.step_size)])
    assert found["method"].tolist() == list(ended)
    texts = experiment.sets["retain"].texts
    for model, value in zip(ended.values(), found["gradient_norm"], strict=True):
        model.zero_grad()
        (sum(loss(model, text) for text in texts) / len(texts)).backward()
        norm = torch.sqrt(sum(parameter.grad.double().pow(2).sum() for parameter in model.parameters()))
        assert value == pytest.approx(float(norm), rel=1e-3)


def test_distances_are_between_the_parameters_of_each_pair(experiment, fuzzy, end, ended):
    found = ends.distances(experiment, [(fuzzy, end.step_size)])
    for (one, other), row in zip(itertools.combinations(ended, 2), found.itertuples(), strict=True):
        assert (row.one, row.other) == (one, other)
        pairs = zip(ended[one].parameters(), ended[other].parameters(), strict=True)
        length = torch.sqrt(sum((a.detach().double() - b.detach().double()).pow(2).sum() for a, b in pairs))
        assert row.distance == pytest.approx(float(length), rel=1e-4)


def test_the_lines_of_the_landscape_begin_and_end_at_the_models(experiment, fuzzy, end, ended):
    found = ends.lines(experiment, [(fuzzy, end.step_size)], points=3)
    lines = [("finetuned", "retrained"), ("finetuned", "fuzzy"), ("fuzzy", "retrained")]
    assert list(found[["start", "end"]].drop_duplicates().itertuples(index=False, name=None)) == lines
    assert len(found) == len(lines) * 3 * 2
    found = found.set_index(["start", "end", "set", "share"])["value"]
    for name in ("forget", "retain"):
        texts = experiment.sets[name].texts[::2]
        with torch.no_grad():
            own = {of: float(np.mean([float(loss(model, text)) for text in texts])) for of, model in ended.items()}
        for start, end in lines:
            assert found[start, end, name, 0.0] == pytest.approx(own[start], rel=1e-3)
            assert found[start, end, name, 1.0] == pytest.approx(own[end], rel=1e-3)
        assert len({round(value, 3) for value in own.values()}) == 3, "three models, three losses"


def test_the_neighbours_are_divided_and_nobody_else(experiment):
    table = experiment.references().query("method == 'finetuned' and set in ['forget', 'paraphrase', 'retain']")
    found = ends.grouped(experiment, table)
    groups = fuzzy_matching.groups(experiment.split)
    expected = [
        groups[example] if name == "retain" else name
        for name, example in zip(table["set"], table["example"], strict=True)
    ]
    assert found["set"].tolist() == expected and "retain" not in set(found["set"])
    assert found.drop(columns="set").equals(table.drop(columns="set"))


# The reference


def test_what_is_measured_are_named_models_and_each_variant_at_its_own_step(experiment):
    found = closeness.states(experiment, [EMBEDDING, FIRST], ["finetuned", "base"])
    steps = [(variant, experiment.calibrated(variant).step_size) for variant in (EMBEDDING, FIRST)]
    assert found == [("finetuned", None), ("base", None), *steps]


def test_a_replay_is_bitwise_the_retrained_model_and_no_other(experiment):
    """Notebook 09 prints this for its run; here it is asserted."""
    dave = [record.id for record in experiment.split.forget]
    start, against = experiment.setting.start, experiment.setting.against
    whole = compared(experiment, start, against).iloc[0]
    assert whole[EQUAL].tolist() == [True, True] and whole["removed"] == len(dave)
    smallest = setting.smaller_sets(experiment.profile, 0)[0]
    few = replayed.few_points(experiment).iloc[0]
    assert json.loads(few["manifest"])["removed"] == list(smallest.without), "the smallest forget set of the profile"
    assert few["equal_parameters"] and pd.isna(few["equal_optimizer"]), "such a model is kept without its optimizer"
    assert few["removed"] == 1
    other = compared(experiment, start, dataclasses.replace(against, order=1, name="in another order")).iloc[0]
    assert not other["equal_parameters"], "another model is not the same"


def test_a_late_replay_takes_the_second_stage_alone_and_is_bitwise_the_retrained_model(experiment):
    dave = [record.id for record in experiment.split.forget]
    late = replayed.subject_late(experiment).iloc[0]
    assert json.loads(late["manifest"])["removed"] == sorted(dave)
    assert late[EQUAL].tolist() == [True, True]
    steps = replay.log_of(experiment.folder("late")).steps
    first = next(step.step for step in steps if set(step.ids) & set(dave))
    assert late["first_step_that_held_a_removed_text"] == first and late["steps_in_the_log"] == len(steps)
    assert late["resumed_after_step"] == first - 1 and late["steps_replayed"] == len(steps) - first < len(steps) / 1.5
    usual = compared(experiment, experiment.setting.start, experiment.model_id("late-retrained")).iloc[0]
    assert usual[EQUAL].tolist() == [False, False], "late is another training"


def test_a_replay_without_one_point_saves_the_steps_before_the_last_state_that_has_not_read_it(experiment):
    for kind in ("finetuned", "late"):
        folder = experiment.folder(kind)
        steps = [set(step.ids) for step in replay.log_of(folder).steps]
        found = replayed.savings(experiment, kind)
        assert set(found["seed"]) == {0}
        assert sorted(found["point"]) == sorted(record.id for record in experiment.split.forget)
        for row in found.itertuples():
            first = next(number for number, ids in enumerate(steps) if row.point in ids)
            before = [state for state in storage.saved_states(folder) if state < first]
            assert row.first_step == first and row.saved == (len(steps[: before[-1] + 1]) / len(steps) if before else 0)
        assert kind == "finetuned" or found["saved"].min() > 0.3, "the first stage is not taken again"


# Tables on disk


def test_a_table_is_written_with_six_significant_digits_where_its_run_keeps_it(experiment):
    table = pd.DataFrame(
        {"name": ["a, b", None], "count": [7, 1234567], "value": [1 / 3, 123456.789], "small": [2e-10 / 3, 1]}
    )
    path = tables.save_table(table, "99_made_up", "smoke", [0, 3])
    assert path == paths.run_folder("smoke", [0, 3]) / "results" / "99_made_up.csv"
    lines = ["name,count,value,small", '"a, b",7,0.333333,6.66667e-11', ",1234567,123457,1"]
    assert path.read_text(encoding="utf-8").splitlines() == lines
    assert tables.load_table("99_made_up", "smoke", [0, 3])["value"].tolist() == [0.333333, 123457]
