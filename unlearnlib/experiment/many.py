"""Distributions of models: many fine-tuned models, unlearned by every method, against many retrained ones.

One unlearned model may hit the answer of one retrained model by luck, or miss it by luck. So training is repeated in
other orders of the texts, with one and the same forget set: `originals` fine-tuned models, each unlearned at its own
step of equal forgetting, and `references` retrained ones in two halves: the reference itself, and the ceiling, which
is what a perfect method would score against it.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from unlearnlib.core.profiles import Profile
from unlearnlib.data.examples import Examples
from unlearnlib.experiment import setting, study
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.setting import ModelId
from unlearnlib.experiment.variants import MODELS, Variant, distinct
from unlearnlib.measures import distributions, evaluation, membership

SETS = ("forget", "heldout", "retain", "general")
CONFIDENCES = ("answer_log_odds", "token_log_odds")
ORIGINAL, REFERENCE, CEILING = "nothing forgotten", "retrained", "retrained, other half"


RETAINED = 40  # so many of the neighbours' points are asked of each model, the first by id: there are many models
NEAR = 0.5  # the search for equal forgetting starts at this part of the step that the usual model needs


def asked(experiment: Experiment, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
    """Return the evaluation of a state on SETS, of the retained people on RETAINED points."""
    key = {"of": experiment.of(of, step_size)}
    found = experiment.table("confidences", key, partial(_answers, experiment, of, step_size))
    return experiment.named(experiment.measured(found), of, step_size)


def _answers(experiment: Experiment, of: Variant | str, step_size: float | None) -> pd.DataFrame:
    sets = {name: experiment.sets[name] for name in SETS}
    some = sets["retain"]
    sets["retain"] = Examples(*(part[:RETAINED] for part in (some.names, some.texts, some.questions)))
    with experiment.at(of, step_size) as model:
        return evaluation.answered(model, sets, experiment.profile.evaluation_batch)


def of_original(usual: Experiment, original: ModelId) -> pd.DataFrame:
    """Return tidy rows of one fine-tuned model of many, before and after every method of the study (cached).

    Columns model (its name), method and reached say which; sets are SETS. The steps of equal forgetting are found near
    the usual model's (NEAR): a crossing before that would be missed. The model itself is not kept.
    """
    with ExitStack() as open_folders:
        experiment = usual.beside(replace(usual.setting, start=original), open_folders)
        compared = distinct(study.repeated(experiment), {*MODELS, ORIGINAL, REFERENCE, CEILING})
        frames = [asked(experiment, "finetuned").assign(method=ORIGINAL, reached=True)]
        for variant in compared:
            found = experiment.calibrated(variant, smallest=NEAR * usual.calibrated(variant).step_size)
            frames.append(asked(experiment, variant, found.step_size).assign(reached=found.reached))
    return pd.concat(frames, ignore_index=True).assign(model=original.name)


def of_reference(usual: Experiment, reference: ModelId) -> pd.DataFrame:
    """Return tidy rows of one retrained model of many, as of_original (method REFERENCE)."""
    with ExitStack() as open_folders:
        experiment = usual.beside(replace(usual.setting, against=reference), open_folders)
        return asked(experiment, "retrained").assign(method=REFERENCE, model=reference.name, reached=True)


# What models trained without some of the points are asked: what influence and LiRA need, and the held-out points.
ASKED = ("forget", "paraphrase#0", "heldout")


def ask(profile: Profile, kind: str, seed: int, models: Sequence[ModelId]) -> None:
    """Ask models of a kind that is not kept what they are there for, so that the answers are in the cache."""
    usual = Experiment(profile, seed)
    for model in models:
        if kind == "originals":
            of_original(usual, model)
        elif kind == "references":
            of_reference(usual, model)
        else:
            usual.answers(model, ASKED)


def collect(profile: Profile, seed: int) -> pd.DataFrame:
    """Return the rows of all originals and references of a seed, computing what is missing.

    The second half of the references is called CEILING.
    """
    usual = Experiment(profile, seed)
    frames = [of_original(usual, model) for model in setting.originals(profile, seed)]
    for number, model in enumerate(setting.references(profile, seed)):
        method = REFERENCE if number < profile.references // 2 else CEILING
        frames.append(of_reference(usual, model).assign(method=method))
    return pd.concat(frames, ignore_index=True)


def confidences(table: pd.DataFrame, method: str, metric: str, of: str = "forget") -> np.ndarray:
    """Return [models, examples]: one confidence of a set's examples in every model of a method."""
    rows = table[(table["method"] == method) & (table["metric"] == metric) & (table["set"] == of)]
    return rows.pivot_table(index="model", columns="example", values="value").to_numpy()


def scores(table: pd.DataFrame, metric: str = CONFIDENCES[0]) -> pd.DataFrame:
    """Return one row a method: the NeurIPS 2023 forgetting score and what stands beside it.

    Columns: models; forgetting (F: 1 is best), retain and general (next-token accuracy over the reference's), score
    (their product); epsilon (median over examples; lower is better) and claimed (share of the examples whose epsilon is
    above zero with 95% confidence); klom and klom_95 by set (nats; 0 is best); auc with its interval (U-LiRA; 0.5:
    nothing to tell). CEILING is what another half of the retrained models scores.
    """
    reference = confidences(table, REFERENCE, metric)
    accuracy = {
        key: _accuracy(part) for key, part in table.groupby(["method", "set"]) if key[1] in ("retain", "general")
    }
    rows = []
    for method in [name for name in dict.fromkeys(table["method"]) if name != REFERENCE]:
        ours = confidences(table, method, metric)
        utility = {of: (accuracy[method, of], accuracy[REFERENCE, of]) for of in ("retain", "general")}
        found = distributions.forgetting_score(ours, reference, utility["retain"], utility["general"])
        bounds = distributions.epsilon_lower_bound(ours, reference)
        attack = membership.u_lira(ours, reference, np.random.default_rng(0), resamples=300)
        row = {
            "method": method,
            "models": found.models,
            "forgetting": found.forgetting,
            **{of: np.divide(*pair) for of, pair in utility.items()},
            "score": found.score,
            "epsilon": float(np.median(found.epsilon)),
            "claimed": float((bounds > 0).mean()),
            "auc": attack.auc,
            **dict(zip(("auc_low", "auc_high"), attack.interval, strict=True)),
        }
        for of in ("forget", "heldout", "retain"):
            distance = distributions.klom(
                confidences(table, method, metric, of), confidences(table, REFERENCE, metric, of)
            )
            row |= {f"klom_{of}": distance.mean, f"klom_{of}_95": distance.percentile_95}
        rows.append(row)
    return pd.DataFrame(rows)


def _accuracy(rows: pd.DataFrame) -> float:
    """Return the share of the tokens of all texts that the models would have chosen."""
    hits, tokens = (rows[rows["metric"] == name]["value"].to_numpy() for name in ("exact_memorization", "text_tokens"))
    return float(np.average(hits, weights=tokens))


def by_example(table: pd.DataFrame, metric: str = CONFIDENCES[0]) -> pd.DataFrame:
    """Return one row per method and forget point: epsilon, its lower bound, and points (H of the forgetting score)."""
    reference = confidences(table, REFERENCE, metric)
    names = sorted(table.query("set == 'forget'")["example"].unique())
    frames = []
    for method in [name for name in dict.fromkeys(table["method"]) if name != REFERENCE]:
        ours = confidences(table, method, metric)
        found = distributions.forgetting_score(ours, reference)
        columns = {
            "epsilon": found.epsilon,
            "bound": distributions.epsilon_lower_bound(ours, reference),
            "points": found.points,
        }
        frames.append(pd.DataFrame({"method": method, "example": names, **columns}))
    return pd.concat(frames, ignore_index=True)
