"""Membership inference on one seed's models: can an attacker tell the points that were forgotten from held-out ones?

Members are the forget points, non-members Dave's held-out points; only attributes that are drawn by chance count (see
unlearnlib.data.split.given_away), so that the two are exchangeable. Every score: higher = less like a member.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from unlearnlib.data.split import given_away
from unlearnlib.experiment import setting
from unlearnlib.experiment.many import CONFIDENCES
from unlearnlib.experiment.measured import Experiment
from unlearnlib.measures import membership
from unlearnlib.measures.membership import Interval

# The attack's name, and the metric that is its score; the reference attack subtracts the base model's loss from LOSS.
ATTACKS = {
    "LOSS": "text_nll",
    "LOSS, answer": "answer_nll",
    "zlib": "zlib",
    "reference": "reference",
    "Min-K%": "min_k_20",
    "Min-K%++": "min_k_plus_plus_20",
    "GradNorm": "gradient_norm",
}
FALSE_POSITIVES = 0.1  # the lowest rate that 20 held-out points can resolve


def exchangeable(experiment: Experiment) -> dict[str, list[str]]:
    """Return the ids of the `forget` and `heldout` points whose attributes were drawn by chance."""
    split = experiment.split
    given = given_away([*split.forget, *split.heldout], split.retain)
    sets = {"forget": split.forget, "heldout": split.heldout}
    return {name: [record.id for record in records if record.attribute not in given] for name, records in sets.items()}


def attack_scores(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of every attack: one row per seed, method, layers, set and example, one column an attack.

    rows: tidy rows of unlearnlib.experiment.closeness.evaluated of one seed, those of the model `base` among them.
    """
    rows = rows[rows["set"].isin(["forget", "heldout"])]
    rows = rows.assign(layers=rows["layers"].fillna("") if "layers" in rows else "")
    keys = ["seed", "method", "layers", "set", "example"]
    wide = rows.pivot_table(index=keys, columns="metric", values="value", sort=False).reset_index()
    base = wide[wide["method"] == "base"].set_index(["seed", "set", "example"])["text_nll"]
    before = base.reindex(pd.MultiIndex.from_frame(wide[["seed", "set", "example"]])).to_numpy()
    wide["reference"] = membership.reference(wide["text_nll"], before)
    return wide[keys].assign(**{attack: wide[metric] for attack, metric in ATTACKS.items()}, min_k_40=wide["min_k_40"])


def attack(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each attack reaches against each model: one row per method, layers and attack.

    Columns: auc (0.5 is ideal, near 1 still members, far below 0.5 over-unlearned) with its bootstrap interval over
    points (low, high), tpr (at a false positive rate of FALSE_POSITIVES; NaN where the points are too few), forget and
    heldout (numbers of points), seed. The attack `starting kit` has an accuracy in place of the auc (0.5 is ideal), and
    `privleak` its percentage against the retrained model (0 is ideal, negative: under-unlearned).
    """
    scores, chosen = attack_scores(rows), exchangeable(experiment)
    found, leaked = [], {}
    for (method, layers), part in scores.groupby(["method", "layers"], sort=False):
        known = {name: part[part["set"] == name].set_index("example").loc[ids] for name, ids in chosen.items()}
        forget, heldout = known["forget"], known["heldout"]
        for name in ATTACKS:
            one, other = forget[name].to_numpy(), heldout[name].to_numpy()
            interval = membership.auc_interval(one, other, np.random.default_rng(0), resamples=500)
            tpr = membership.tpr_at_fpr(one, other, FALSE_POSITIVES)
            found.append((method, layers, name, membership.auc(one, other), *interval, tpr))
        accuracy = membership.simple_mia(forget["LOSS"], heldout["LOSS"])
        found.append((method, layers, "starting kit", accuracy, np.nan, np.nan, np.nan))
        leaked[method, layers] = membership.auc(forget["min_k_40"], heldout["min_k_40"])
    for key, value in leaked.items():
        found.append((*key, "privleak", membership.privleak(value, leaked["retrained", ""]), np.nan, np.nan, np.nan))
    table = pd.DataFrame(found, columns=["method", "layers", "attack", "auc", "low", "high", "tpr"])
    return table.assign(seed=experiment.seed, **{name: len(ids) for name, ids in chosen.items()})


def blind(experiment: Experiment, folds: int = 5) -> tuple[float, Interval]:
    """Return the AUC, with its interval over points, of an attack that never sees a model: it must be near 0.5.

    A bag of words with logistic regression; folds keep the points of an attribute together, so that nothing can be
    learned about a point from its twin. NaN where there are fewer attributes of a kind than folds.
    """
    from sklearn.feature_extraction.text import CountVectorizer  # here, because importing scikit-learn takes seconds
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    chosen, split = exchangeable(experiment), experiment.split
    records = [
        *(record for record in split.forget if record.id in chosen["forget"]),
        *(record for record in split.heldout if record.id in chosen["heldout"]),
    ]
    heldout = np.array([record.id in chosen["heldout"] for record in records])
    groups = [record.attribute for record in records]
    if min(len({g for g, out in zip(groups, heldout, strict=True) if out == kind}) for kind in (True, False)) < folds:
        return float("nan"), Interval(float("nan"), float("nan"))
    score = cross_val_predict(
        make_pipeline(CountVectorizer(), LogisticRegression()),
        [record.text for record in records],
        heldout,
        groups=groups,
        cv=StratifiedGroupKFold(folds),
        method="decision_function",
    )
    one, other = score[~heldout], score[heldout]
    return membership.auc(one, other), membership.auc_interval(one, other, np.random.default_rng(0), resamples=500)


def words_alone(experiments: Iterable[Experiment]) -> pd.DataFrame:
    """Return the AUC of the attack `blind`, to stand beside every other attack: rows (seed, method, auc, attack), one a
    seed for each of ATTACKS, with the method `words alone`."""
    words = pd.DataFrame({"seed": e.seed, "method": "words alone", "auc": blind(e)[0]} for e in experiments)
    return pd.concat([words.assign(attack=attack) for attack in ATTACKS])


# LiRA for points, with the models trained on random halves as shadows


def shadows(experiment: Experiment) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Return (confidences [models, points], members bool [models, points], points) of the models on random halves."""
    points = [record.id for record in experiment.split.forget]
    models = setting.halves(experiment.profile, experiment.seed)
    rows = experiment.evaluated_by(models, ["forget"])
    rows = rows[rows["metric"] == CONFIDENCES[0]]
    wide = rows.pivot_table(index="model", columns="example", values="value")
    wide = wide.loc[[model.name for model in models], points]
    members = np.array([[point not in model.without for point in points] for model in models])
    return wide.to_numpy(), members, points


def attacked_shadows(known: np.ndarray, members: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (scores, members) [points] of every shadow model, attacked with the help of all others."""
    for number in range(len(known)):
        others = np.arange(len(known)) != number
        yield membership.lira(known[number], known[others], members[others], pooled_variance=True), members[number]


def lira(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """Return LiRA's verdict on each method's models: one row a method, from tidy rows of one seed.

    Columns: called_members (share of the forget points whose score says member), auc (against the same points in the
    method `retrained`, 0.5: nothing to tell) with its interval over points, and the row `random halves`: the attack on
    the shadow models themselves, where membership is known (its auc says what the attack can do).
    """
    known, members, points = shadows(experiment)
    pairs = list(attacked_shadows(known, members))
    inside, outside = (np.concatenate([score[is_member == wanted] for score, is_member in pairs]) for wanted in (1, 0))
    found = [("random halves", float((inside < 0).mean()), membership.auc(inside, outside), *Interval(np.nan, np.nan))]
    rows = rows[(rows["set"] == "forget") & (rows["metric"] == CONFIDENCES[0])]
    wide = rows.pivot_table(index="method", columns="example", values="value", sort=False)[points]
    score = {
        name: membership.lira(row.to_numpy(), known, members, pooled_variance=True) for name, row in wide.iterrows()
    }
    for name, mine in score.items():
        low, high = membership.auc_interval(mine, score["retrained"], np.random.default_rng(0))
        found.append((name, float((mine < 0).mean()), membership.auc(mine, score["retrained"]), low, high))
    table = pd.DataFrame(found, columns=["method", "called_members", "auc", "low", "high"])
    return table.assign(seed=experiment.seed, shadows=len(known))
