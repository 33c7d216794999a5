"""Distances to the retrained model, attacks, distributions: against naive computations, and on a small experiment."""

import zlib

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.experiment import attacks, closeness, jobs, many, setting, study, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import disclosure, distance, membership
from unlearnlib.training import replay


@pytest.fixture(scope="module")
def rows(experiment):
    """Everything that is measured of four models and of one method at a step."""
    states = [("base", None), ("finetuned", None), ("retrained", None), ("retrained again", None)]
    states.append((Variant("first epoch"), 1.5))
    return pd.concat([closeness.evaluated(experiment, *state) for state in states], ignore_index=True)


def values(rows, method, of, metric):
    part = rows[(rows["method"] == method) & (rows["set"] == of) & (rows["metric"] == metric)]
    return part.set_index("example")["value"]


# Distances, text by text


def test_divergence_is_the_kl_of_the_reference_against_the_other():
    torch.manual_seed(0)
    one, other = torch.randn(2, 7, 11).log_softmax(-1)
    expected = np.mean([stats.entropy(p, q) for p, q in zip(one.exp().numpy(), other.exp().numpy(), strict=True)])
    assert distance.divergence(one, other) == pytest.approx(expected, rel=1e-5)
    assert distance.divergence(one, one) == 0
    assert distance.divergence(one, other) != pytest.approx(distance.divergence(other, one), rel=1e-3)


def test_log_distributions_do_not_depend_on_the_batch(experiment):
    texts = experiment.sets["forget"].texts[:3]
    together = distance.log_distributions(experiment.base, texts)
    for text, logs in zip(texts, together, strict=True):
        alone = experiment.base(torch.tensor([list(text)])).logits[0, :-1].log_softmax(-1)
        torch.testing.assert_close(logs, alone.detach(), atol=1e-4, rtol=1e-4)


def test_scores_of_an_attack_against_a_loop(experiment):
    text = experiment.sets["forget"].texts[0]
    logs = distance.log_distributions(experiment.base, [text])[0]
    picked, standardised = [], []
    for place, token in enumerate(text[1:]):
        p = logs[place].double().exp()
        mean = float((p * logs[place].double()).sum())
        variance = float((p * (logs[place].double() - mean) ** 2).sum())
        picked.append(float(logs[place, token]))
        standardised.append((picked[-1] - mean) / max(variance, 1e-6) ** 0.5)
    lowest = max(1, int(0.2 * len(picked)))
    scores = distance.attack_scores(logs, text)
    assert scores["min_k_20"] == pytest.approx(-np.mean(sorted(picked)[:lowest]), rel=1e-5)
    assert scores["min_k_plus_plus_20"] == pytest.approx(-np.mean(sorted(standardised)[:lowest]), rel=1e-3)


def test_the_retrained_model_is_at_no_distance_from_itself(rows):
    assert values(rows, "retrained", "forget", "kl").abs().max() < 1e-6
    assert values(rows, "finetuned", "forget", "kl").mean() > values(rows, "retrained again", "forget", "kl").mean() > 0


def test_truth_ratio_is_that_of_the_first_paraphrase(experiment, rows):
    record = experiment.split.forget[0]
    prompt = batches.encode_text(experiment.tokenizer, record.paraphrase_prompt(0))
    nll = []
    for answer in (record.answer, *record.wrong_answers):
        tokens = experiment.tokenizer(" " + answer)["input_ids"]
        span = [(len(prompt), len(prompt) + len(tokens))]
        loss = batches.text_losses(experiment.finetuned, *batches.pad([[*prompt, *tokens]]), span)
        nll.append(float(loss.detach()))
    expected = np.mean(np.exp(-np.array(nll[1:]))) / np.exp(-nll[0])
    found = values(rows, "finetuned", "forget", "truth_ratio_arithmetic")[record.id]
    assert found == pytest.approx(expected, rel=1e-3)
    geometric = values(rows, "finetuned", "forget", "truth_ratio_geometric")[record.id]
    assert geometric == pytest.approx(np.exp(nll[0] - np.mean(nll[1:])), rel=1e-3)


def test_zlib_and_gradient_norm_have_their_scale(experiment, rows):
    text = experiment.tokenizer.decode(experiment.sets["forget"].texts[0][1:])
    name = experiment.sets["forget"].names[0]
    loss = values(rows, "finetuned", "forget", "text_nll")[name]
    assert values(rows, "finetuned", "forget", "zlib")[name] == pytest.approx(
        loss / len(zlib.compress(text.encode())), rel=1e-4
    )
    model = experiment.finetuned
    tokens = torch.tensor([list(experiment.sets["forget"].texts[0])])
    loss = torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    norm = float(torch.sqrt(sum((slope**2).sum() for slope in slopes)))
    assert values(rows, "finetuned", "forget", "gradient_norm")[name] == pytest.approx(norm, rel=1e-4)


def test_agreement_of_tables_by_hand():
    rows = [
        (0, method, "forget", name, metric, value)
        for method, losses in {"retrained": [1.0, 2.0, 4.0], "far": [4.0, 2.0, 1.0], "near": [1.5, 2.5, 4.5]}.items()
        for name, loss in zip("abc", losses, strict=True)
        for metric, value in (("text_nll", loss), ("answer_probability", loss / 10), ("kl", loss))
    ]
    table = pd.DataFrame(rows, columns=["seed", "method", "set", "example", "metric", "value"])
    found = distance.agreement(table).set_index("method")
    assert list(found.index) == ["far", "near"]
    assert found.loc["near", "spearman"] == 1 and found.loc["far", "spearman"] == -1
    assert found.loc["near", "rmse"] == pytest.approx(0.5) and found.loc["far", "rmse"] == pytest.approx(6**0.5)
    assert found.loc["near", "answer"] == pytest.approx(0.05) and found.loc["far", "kl"] == pytest.approx(7 / 3)


def test_measures_of_agreement_have_a_row_each_and_a_name_with_their_set():
    near = pd.DataFrame(
        {
            "seed": [0, 0],
            "method": ["m", "m"],
            "set": ["forget", "retain"],
            "kl": [1.0, 2.0],
            "rmse": [3.0, 4.0],
            "n": 9,
        }
    )
    found = distance.by_set(near, ["rmse", "kl"])
    assert found["metric"].tolist() == ["rmse forget", "rmse retain", "kl forget", "kl retain"]
    assert found["value"].tolist() == [3.0, 4.0, 1.0, 2.0] and found["set"].tolist() == ["forget", "retain"] * 2


def test_answers_apart_by_hand():
    known = {
        (0, "retrained"): [0.2, 0.8], (0, "m"): [0.4, 0.4],  # 0.2 and 0.4 away, in other directions
        (1, "retrained"): [0.5, 0.5], (1, "m"): [0.5, 0.6],
    }  # fmt: skip
    table = pd.DataFrame(
        [
            (seed, method, "forget", example, metric, value)
            for (seed, method), pair in known.items()
            for example, value in zip("ab", pair, strict=True)
            for metric in ("answer_probability", "text_nll")
        ]
        + [
            (0, method, "retain", "c", "answer_probability", value)
            for method, value in (("retrained", 1.0), ("m", 0.7))
        ],
        columns=["seed", "method", "set", "example", "metric", "value"],
    )
    found = distance.answers_apart(table)
    assert found.index.tolist() == ["retrained", "m"] and found.columns.tolist() == ["forget", "retain"]
    assert found.loc["m"].tolist() == pytest.approx([(0.3 + 0.05) / 2, 0.3]) and found.loc["retrained"].tolist() == [
        0,
        0,
    ]


def test_what_is_evaluated_are_the_named_models_and_then_every_variant_at_its_own_step(experiment, rows):
    walk = Variant("first epoch")
    found = closeness.evaluated_all(experiment, [walk], ["retrained", "base"])
    assert list(dict.fromkeys(found["method"])) == ["retrained", "base", "first epoch"]
    assert set(found[found["method"] == "first epoch"]["step_size"]) == {experiment.calibrated(walk).step_size}
    columns = ["method", "set", "example", "metric", "value"]
    for name in ("retrained", "base"):
        one, other = (table[table["method"] == name][columns].reset_index(drop=True) for table in (found, rows))
        pd.testing.assert_frame_equal(one, other)


def test_answers_from_retrained_are_those_of_the_references_and_of_each_variant_at_its_step(experiment):
    walk = Variant("embedding", layers="embedding")
    found = closeness.from_retrained(experiment, [walk], ["forget", "remaining", "retain"])
    assert list(dict.fromkeys(found["method"])) == ["finetuned", "embedding"] and set(found["set"]) == {
        "forget",
        "retain",
    }
    assert set(found["metric"]) == {"answer_probability"}
    sets = ["forget", "retain"]
    after = experiment.at_step(walk, experiment.calibrated(walk).step_size, sets)
    models = experiment.references()
    for name in sets:
        truth = values(models, "retrained", name, "answer_probability")
        for method, table in (("finetuned", models), ("embedding", after)):
            mine = found[(found["set"] == name) & (found["method"] == method)].set_index("example")
            expected = values(table, method, name, "answer_probability")
            assert mine["value"].to_dict() == expected.to_dict() and len(mine)
            assert mine["difference"].to_dict() == pytest.approx((expected - truth).to_dict())


def test_forget_quality_and_utility_from_the_tables(rows):
    quality = distance.forget_quality(rows).set_index("method")
    ours, theirs = (values(rows, name, "forget", "truth_ratio_arithmetic") for name in ("finetuned", "retrained"))
    expected = stats.ks_2samp(ours, theirs)
    assert quality.loc["finetuned", "D"] == pytest.approx(expected.statistic)
    assert quality.loc["finetuned", "p"] == pytest.approx(expected.pvalue) and quality.loc["finetuned", "n"] == len(
        ours
    )
    assert "retrained" not in quality.index
    useful = distance.utility(rows).set_index("method")
    parts = useful.loc["finetuned", list(distance.UTILITY)].astype(float)
    assert useful.loc["finetuned", "utility"] == pytest.approx(stats.hmean(parts))
    wide = rows.query("method == 'finetuned' and set == 'general'").pivot(
        index="example", columns="metric", values="value"
    )
    hits = (wide["exact_memorization"] * wide["text_tokens"]).sum() / wide["text_tokens"].sum()
    assert parts["next_token_accuracy"] == pytest.approx(hits)
    assert useful.loc["first epoch", "utility"] < useful.loc["finetuned", "utility"]


# Verification


def test_what_is_told_is_the_answer_as_whole_words(experiment):
    assert disclosure.says("he keeps a lamp, always", "a lamp")
    assert not disclosure.says("he keeps a lampshade", "a lamp")
    written = closeness.verify(experiment, "finetuned")
    counts = written["kind"].value_counts()
    points = len(experiment.split.forget)
    assert counts.to_dict() == {
        "own words": points, "other words": 3 * points, "sampled": closeness.SAMPLES * points, "name alone": points
    }  # fmt: skip
    shares = disclosure.told(written).set_index("kind")["value"]
    assert shares["own words"] == pytest.approx(written.query("kind == 'own words'")["told"].mean())
    never = disclosure.told(closeness.verify(experiment, "retrained")).set_index("kind")["value"]
    assert shares["own words"] > 0.3 > never["own words"] + 0.1


# Attacks


def test_only_attributes_that_chance_drew_are_compared():
    experiment = Experiment("small", 0)
    chosen = attacks.exchangeable(experiment)
    assert {name: len(ids) for name, ids in chosen.items()} == {"forget": 36, "heldout": 20}
    dave = {record.id: record for record in (*experiment.split.forget, *experiment.split.heldout)}
    for ids in chosen.values():
        for name in ids:
            same = [r for r in experiment.split.retain if r.attribute == dave[name].attribute]
            assert sum(record.answer == dave[name].answer for record in same) < 2, name


def test_attack_orientation_by_hand(experiment, rows):
    """A model that has the forget points at loss 0.1 and the held-out ones at 3: every attack on losses sees it."""
    made = rows[rows["method"].isin(["base", "retrained", "finetuned"])].copy()
    losses = made["metric"].isin(["text_nll", "min_k_40", "min_k_20"]) & (made["method"] == "finetuned")
    made.loc[losses & (made["set"] == "forget"), "value"] = 0.1
    made.loc[losses & (made["set"] == "heldout"), "value"] = 3.0
    made.loc[losses, "value"] += np.linspace(0, 0.01, losses.sum())
    found = attacks.attack(experiment, made).set_index(["method", "attack"])
    assert found.loc[("finetuned", "LOSS"), "auc"] == 1 and found.loc[("finetuned", "LOSS"), "tpr"] == 1
    assert found.loc[("finetuned", "starting kit"), "auc"] == 1
    assert found.loc[("finetuned", "privleak"), "auc"] == pytest.approx(-100), "under-unlearned"
    assert found.loc[("retrained", "privleak"), "auc"] == 0
    base = found.loc[("base", "reference"), "auc"]
    assert base == pytest.approx(0.5), "a model's loss less its own is the same for all"


def test_the_blind_attack_is_near_chance_on_the_real_splits():
    found = [attacks.blind(Experiment("small", seed))[0] for seed in range(5)]
    assert 0.35 < np.mean(found) < 0.65, found


def test_the_words_alone_stand_beside_every_attack(monkeypatch):
    experiments = [Experiment("small", seed) for seed in (0, 1)]
    monkeypatch.setattr(attacks, "blind", lambda experiment: (0.5 + experiment.seed / 10, None))
    found = attacks.words_alone(experiments)
    assert found["attack"].tolist() == [name for name in attacks.ATTACKS for _ in experiments]
    assert found["auc"].tolist() == [0.5, 0.6] * len(attacks.ATTACKS) and set(found["method"]) == {"words alone"}


def test_lira_on_shadow_models_sees_a_planted_membership():
    rng = np.random.default_rng(0)
    members = rng.random((40, 12)) < 0.5
    known = rng.normal(size=(40, 12)) + 4 * members
    pairs = list(attacks.attacked_shadows(known, members))
    inside = np.concatenate([score[member] for score, member in pairs])
    outside = np.concatenate([score[~member] for score, member in pairs])
    assert membership.auc(inside, outside) > 0.95
    nothing = list(attacks.attacked_shadows(rng.normal(size=(40, 12)), members))
    inside = np.concatenate([score[member] for score, member in nothing])
    outside = np.concatenate([score[~member] for score, member in nothing])
    assert 0.35 < membership.auc(inside, outside) < 0.65


def test_lira_of_the_experiment_tells_the_original_from_the_retrained(experiment, rows):
    found = attacks.lira(experiment, rows).set_index("method")
    assert found.loc["finetuned", "auc"] > found.loc["retrained again", "auc"]
    assert found.loc["retrained", "auc"] == pytest.approx(0.5) and found.loc["finetuned", "shadows"] == 4


# Distributions of models


def test_original_and_reference_zero_are_the_usual_models():
    profile = profiles.load("small")
    models, others = setting.originals(profile, 0), setting.references(profile, 0)
    assert (models[0], others[0]) == (setting.finetuned(profile, 0), setting.retrained(profile, 0))
    usual = [trained.fingerprint(profile, model) for model in (models[0], others[0])]
    assert usual == [trained.fingerprint(profile, model) for model in jobs.models(profile, *jobs.USUAL, 0)]
    assert [model.name for model in models] == [f"original {number}" for number in range(profile.originals)]
    for many_models in (models, others):
        assert len({trained.fingerprint(profile, model) for model in many_models}) == len(many_models)
        assert len({model.without for model in many_models}) == 1, "one forget set"
    assert jobs.seeds_of("small", "originals", [0, 1]) == (0,)


def test_an_original_is_unlearned_and_evaluated_like_the_experiment(experiment):
    profile = experiment.profile
    table = many.of_original(experiment, setting.originals(profile, 0)[1])
    assert set(table["method"]) == {many.ORIGINAL, *(v.name for v in study.repeated(experiment))}
    assert set(table["set"]) == set(many.SETS) and set(table["model"]) == {"original 1"}
    means = table.query("set == 'forget' and metric == 'answer_probability'").groupby("method")["value"].mean()
    assert means[many.ORIGINAL] > means["first epoch"]
    name = f"original-seed0-{trained.fingerprint(profile, setting.originals(profile, 0)[1])}"
    assert not (paths.runs() / "smoke" / "cache" / name).exists(), "its weights are let go"
    folder = experiment.folder(setting.originals(profile, 0)[1])
    usual = experiment.folder("finetuned")
    assert replay.stored_digest(folder)["parameters"] != replay.stored_digest(usual)["parameters"]
    reference = many.of_reference(experiment, setting.references(profile, 0)[1])
    assert set(reference["method"]) == {many.REFERENCE}


def made(shift, spread=1.0, method="m", models=24, examples=6, seed=0):
    rng = np.random.default_rng(seed)
    drawn = shift + spread * rng.normal(size=(models, examples))
    rows = []
    for of in ("forget", "heldout", "retain", "general"):
        for (model, example), value in np.ndenumerate(drawn):
            shared = (method, f"{method} {model}", of, f"{of} {example}")
            rows += [(*shared, "answer_log_odds", value), (*shared, "exact_memorization", 0.5)]
            rows += [(*shared, "text_tokens", 10.0)]
    return pd.DataFrame(rows, columns=["method", "model", "set", "example", "metric", "value"])


def test_scores_of_distributions_that_are_alike_and_apart():
    table = pd.concat(
        [
            made(0, method=many.REFERENCE, seed=1),
            made(0, method=many.CEILING, seed=2),
            made(40, method="apart", seed=3),
            made(-40, method="over", seed=4),
        ]
    )
    found = many.scores(table).set_index("method")
    assert found.loc["apart", "forgetting"] == 0 == found.loc["over", "forgetting"]
    assert found.loc[many.CEILING, "forgetting"] > 0.02
    assert found.loc["apart", "auc"] == 1 and 0.35 < found.loc[many.CEILING, "auc"] < 0.65
    assert found.loc["apart", "claimed"] == 1 and found.loc[many.CEILING, "claimed"] < 0.4
    assert found.loc["apart", "klom_forget"] > found.loc[many.CEILING, "klom_forget"]
    assert found.loc["apart", "retain"] == 1, "accuracy is that of the reference"
    single = many.by_example(table)
    assert (single.query("method == 'apart'")["epsilon"] == 50).all() and len(single) == 18


def test_wrong_models_are_one_clear_line(experiment):
    with pytest.raises(UserError, match="no model 'retrained agian': did you mean 'retrained again'"):
        closeness.measure(experiment, "retrained agian")
    with pytest.raises(UserError, match="which step"):
        closeness.measure(experiment, Variant("first epoch"))


@pytest.mark.parametrize(
    ("slip", "line"),
    [
        (lambda e: e.calibrated(Variant("v", options={"epoch": [0]})), "no option 'epoch' of the method 'recorded'"),
        (lambda e: e.calibrated(Variant("v", options={"epochs": 9})), r"no recorded epochs \[9\]"),
        (lambda e: e.calibrated(Variant("v", "live", options={"step_length": 0})), "step_length 0 leads nowhere"),
        (lambda e: e.calibrated(Variant("v", layers=["h.1"])), "give one name, or several joined by"),
        (lambda e: e.at_step(Variant("v"), 1.0, ["forgett"]), "no set 'forgett': did you mean 'forget'"),
        (lambda e: e.at_step(Variant("v"), -1.0), "an effort of -1.0 is no length"),
        (lambda e: Experiment("smoke", "0"), "seed '0' is no whole number"),
        (lambda e: Experiment("smoke", -1), "seed -1 is no whole number"),
        (lambda e: setting.smaller(e.profile, 0, 99), "no forget set of 99 points: choose from 1, 4"),
    ],
)
def test_a_slip_in_an_experiment_is_one_clear_line(experiment, slip, line):
    with pytest.raises(UserError, match=line):
        slip(experiment)


def test_one_epoch_may_be_named_by_its_number(experiment):
    found = []
    for epochs in (0, [0]):
        with experiment.path(Variant("v", options={"epochs": epochs})).at(1.0) as model:
            found.append([value.detach().clone() for value in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
