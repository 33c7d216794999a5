"""Distributions of models: many fine-tuned models, unlearned by every method, against many retrained ones.

One unlearned model may hit the answer of one retrained model by luck, or miss it by luck. So training is repeated in
other orders of the texts, with one and the same forget set: `originals` fine-tuned models, each unlearned at its own
step of equal forgetting, and `references` retrained ones in two halves: the reference itself, and the ceiling, which
is what a perfect method would score against it.
"""

from contextlib import ExitStack
from functools import partial

import numpy as np
import pandas as pd

from unlearnlib.core.profiles import Profile
from unlearnlib.data.examples import Examples
from unlearnlib.experiment import study, training_jobs
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import MODELS, Variant, distinct
from unlearnlib.measures import distributions, evaluation, membership

SETS = ("forget", "heldout", "retain", "general")
CONFIDENCES = ("answer_log_odds", "token_log_odds")
ORIGINAL, REFERENCE, CEILING = "nothing forgotten", "retrained", "retrained, other half"


RETAINED = 40  # so many of the neighbours' points are asked of each model, the first by id: there are many models
NEAR = 0.5  # the search for equal forgetting starts at this part of the step that the usual model needs


class Repeated(Experiment):
    """The experiment of a seed with one of its originals for the fine-tuned model, or one of its references for the
    retrained one: same data, another order of the texts.

    Their models are not kept: one that is needed is trained, and let go when `open_folders` is closed.
    """

    def __init__(self, usual: Experiment, kind: str, name: str, open_folders: ExitStack):
        super().__init__(usual.profile, usual.seed)
        self.usual, self._open, self._folders = usual, open_folders, {}
        if kind in training_jobs.ORIGINALS:
            self._finetuned = (kind, name)
        else:
            self._reference = (kind, name)

    @property
    def _base(self):
        return self.usual._base

    @property
    def sets(self):
        """The sets of examples: those of the usual experiment."""
        return self.usual.sets

    def folder(self, kind: str, name: str | None = None):
        """Return the folder of a trained model, which is there until `open_folders` is closed."""
        if (kind, name) not in self._folders:
            borrowed = training_jobs.borrowed_folder(self.profile, kind, self.seed, name)
            self._folders[kind, name] = self._open.enter_context(borrowed)
        return self._folders[kind, name]

    def confidences(self, of: Variant | str, step_size: float | None = None) -> pd.DataFrame:
        """Return the evaluation of a state on SETS, of the retained people on RETAINED points."""
        key = {"of": self.of(of, step_size)}
        found = self.table("confidences", key, partial(self._asked, of, step_size))
        return self.named(self.measured(found), of, step_size)

    def _asked(self, of: Variant | str, step_size: float | None) -> pd.DataFrame:
        sets = {name: self.sets[name] for name in SETS}
        some = sets["retain"]
        sets["retain"] = Examples(*(part[:RETAINED] for part in (some.names, some.texts, some.questions)))
        with self.at(of, step_size) as model:
            return evaluation.answered(model, sets, self.profile.evaluation_batch)


def evaluate(usual: Experiment, kind: str, name: str) -> pd.DataFrame:
    """Return tidy rows of one original, before and after every method, or of one reference (cached).

    Columns model (its name), method and reached say which; sets are SETS. The steps of equal forgetting are found near
    the usual model's (NEAR): a crossing before that would be missed.
    """
    with ExitStack() as open_folders:
        experiment = Repeated(usual, kind, name, open_folders)
        if kind in training_jobs.REFERENCES:
            return experiment.confidences("retrained").assign(method=REFERENCE, model=name, reached=True)
        compared = distinct(study.repeated(experiment), {*MODELS, ORIGINAL, REFERENCE, CEILING})
        frames = [experiment.confidences("finetuned").assign(method=ORIGINAL, reached=True)]
        for variant in compared:
            found = experiment.calibrated(variant, smallest=NEAR * usual.calibrated(variant).step_size)
            frames.append(experiment.confidences(variant, found.step_size).assign(reached=found.reached))
    return pd.concat(frames, ignore_index=True).assign(model=name)


# What models trained without some of the points are asked: what influence and LiRA need, and the held-out points.
ASKED = ("forget", "paraphrase#0", "heldout")


def ask(profile: Profile, kind: str, seed: int) -> None:
    """Ask the models of a kind that is not kept what they are there for, so that the answers are in the cache."""
    usual = Experiment(profile, seed)
    for name in training_jobs.models(profile, kind, seed):
        if kind in (*training_jobs.ORIGINALS, *training_jobs.REFERENCES):
            evaluate(usual, kind, name)
        else:
            usual.answers_without(kind, name, ASKED)


def collect(profile: Profile, seed: int) -> pd.DataFrame:
    """Return the rows of evaluate for all originals and references of a seed, computing what is missing.

    The second half of the references is called CEILING.
    """
    frames, usual = [], Experiment(profile, seed)
    for kind in (*training_jobs.ORIGINALS, *training_jobs.REFERENCES):
        for name in training_jobs.models(profile, kind, seed):
            rows = evaluate(usual, kind, name)
            number = int(name.split()[1])
            if kind in training_jobs.REFERENCES and number >= profile.references // 2:
                rows = rows.assign(method=CEILING)
            frames.append(rows)
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
