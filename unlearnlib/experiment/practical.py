"""What to do with an eighth of retraining's compute: recorded steps of several kinds and lengths, a short task vector,
and repair behind each; searched on people who are not reported, and then asked of Dave on new seeds.

Nothing here needs the retrained model: a step is a share of the one to equal forgetting, which people whom the model
never read about decide. By the retrained model it is only measured.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment import closeness, configurations
from unlearnlib.experiment.loaded import Models
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.measures import distance, evaluation
from unlearnlib.methods.trained import Steps, further_trained

SHARE = 1 / 8  # of what retraining reads
FRACTIONS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # of the step to equal forgetting: repair brings some answers back
REPAIRS = (0, 4)  # optimizer steps on retained texts
OTHERS = ("anita", "grace", "henry")  # whom the search is about
LATER = 200  # seeds from here on are nobody's: the search has those below
SMALLEST = 0.05  # where the search for a step begins: a task vector is looked for in multiples of itself
VECTOR = 4  # optimizer steps of the task vector
ASKED = ("forget", "paraphrase", "retain")
NEAR = ("forget", "retain")  # the sets by whose distance ways are ranked
UNTOUCHED, AGAIN = "finetuned", "retrained again"
MODELS = (UNTOUCHED, AGAIN, "base")
LEVEL = "equal forgetting"  # in the place of a method: how far answers may still be told


@dataclass(frozen=True)
class Candidate:
    """One way: a share (`fraction`) of the step of `first` to equal forgetting, and `repair` optimizer steps behind
    it."""

    first: Variant
    fraction: float
    repair: int

    @property
    def name(self) -> str:
        """What it is called in tables."""
        behind = f", {self.repair} repair steps" if self.repair else ""
        return f"{self.first.name}, {self.fraction:g} of the step{behind}"


def firsts(profile: Profile) -> list[Variant]:
    """Return the steps that are tried, by place and kind."""
    vector = {"steps": VECTOR, "batch_size": profile.batch_size, "learning_rate": profile.learning_rate}
    return distinct(
        [
            Variant("embedding, preconditioned", "preconditioned", "embedding", {"epochs": "all"}),
            Variant("whole model, preconditioned", "preconditioned"),
            Variant("embedding, plain", layers="embedding"),
            Variant("taken back, embedding", "taken back", "embedding"),
            Variant("taken back, whole model", "taken back"),
            Variant("short task vector", "task vector", options=vector),
        ]
    )


def combinations(profile: Profile) -> list[Candidate]:
    """Return every combination of step, fraction and repair."""
    return [Candidate(first, part, steps) for first in firsts(profile) for part in FRACTIONS for steps in REPAIRS]


def candidates(profile: Profile) -> list[Candidate]:
    """Return the combinations that read no more than SHARE of what retraining reads."""
    made = combinations(profile)
    return [one for one in made if texts_read(profile, one) <= SHARE * profile.epochs * _retained(profile)]


def texts_read(profile: Profile, one: Candidate) -> int:
    """Return how many texts a way reads forwards and backwards, without the search for its length."""
    prepared = VECTOR if one.first.method_name == "task vector" else 0
    return (prepared + one.repair) * profile.batch_size


def _retained(profile: Profile) -> int:
    return 5 * profile.neighbours  # points a person, as the data have them


def measured(experiment: Experiment, ways: Sequence[Candidate]) -> pd.DataFrame:
    """Return what becomes of each way (cached by step): rows (seed, method, first, fraction, repair, share, set,
    metric, value).

    Metrics: answer_probability (mean, of the sets ASKED) and `kl`, the mean KL(retrained || model), nats a token, on
    those of NEAR. share: texts read by training, over those of retraining (0 to 1).
    """
    frames = []
    for first in distinct({one.first.name: one.first for one in ways}.values()):
        asked = sorted({(one.fraction, one.repair) for one in ways if one.first == first})

        def compute(first: Variant = first, asked: Sequence = tuple(asked)) -> pd.DataFrame:
            rows = [row for fraction, repair in asked for row in _after(experiment, first, fraction, repair)]
            return pd.DataFrame(rows, columns=["fraction", "repair", "set", "metric", "value"])

        search = {**experiment.search(), "smallest": SMALLEST, "target": experiment.target()}
        key = {"of": experiment.of(first), "search": search, "asked": asked}
        frames.append(experiment.table("practical", key, compute).assign(first=first.name))
    found = pd.concat(frames, ignore_index=True)
    named = {(one.first.name, one.fraction, one.repair): one for one in ways}
    of = [named[key] for key in zip(found["first"], found["fraction"], found["repair"], strict=True)]
    whole = experiment.profile.epochs * len(experiment.split.retain)
    share = [texts_read(experiment.profile, one) / whole for one in of]
    return found.assign(method=[one.name for one in of], share=share)


def _after(experiment: Experiment, first: Variant, fraction: float, repair: int) -> Iterator[tuple]:
    path = experiment.path(first)
    step = experiment.calibrated(first, smallest=SMALLEST).step_size
    with path.at(fraction * step) as model:
        moved = copy.deepcopy(model)
    if repair:
        rate = experiment.profile.learning_rate / 2
        how = Steps(repair, repair, experiment.profile.batch_size, rate)
        moved = further_trained(moved, experiment.request.retain, how, experiment.seed, "repair")
    yield from ((fraction, repair, *row) for row in _said(experiment, moved))


def models(experiment: Experiment) -> pd.DataFrame:
    """Return the same rows of what a distance is held against (cached): doing nothing, a second retrained model, the
    base model, and retraining cut short after one epoch, which reads as much as an epoch has texts. And the row LEVEL:
    the answer probability of the forget set at equal forgetting, which people whom no model read about decide."""

    def compute() -> pd.DataFrame:
        rows = [(name, 0.0, *row) for name in MODELS for row in _said(experiment, experiment.model(name))]
        short = Variant("retraining, 1 epoch", "truncated retraining", options={"epochs": (1,)})
        path = experiment.path(short)
        with path.at(path.stops[-1]) as model:
            rows += [(short.name, 1 / experiment.profile.epochs, *row) for row in _said(experiment, model)]
        rows.append((LEVEL, 0.0, "forget", "answer_probability", experiment.target()))
        return pd.DataFrame(rows, columns=["method", "share", "set", "metric", "value"])

    key = {"again": experiment.fingerprint("retrained again"), "target": experiment.target()}
    return experiment.table("practical-models", key, compute)


def _said(experiment: Experiment, model: torch.nn.Module) -> Iterator[tuple[str, str, float]]:
    batch = experiment.profile.evaluation_batch
    for name in ASKED:
        yield name, "answer_probability", evaluation.answer_probability(model, experiment.sets[name], batch)
    for name in NEAR:
        logs = distance.log_distributions(model, experiment.sets[name].texts, batch)
        theirs = closeness.of_retrained(experiment, name)
        yield name, "kl", distance.mean_divergence(theirs, logs)


def scored(table: pd.DataFrame, start: pd.DataFrame) -> pd.DataFrame:
    """Return how near each way ends, a row for each method and seed (and person, where the tables have one): `forget`
    and `retain`, the distance over that of doing nothing (1: no nearer), `score`, the mean of their logarithms
    (lower is better, 0 is doing nothing), `told`, the mean answer probability of the forget set, and `forgotten`,
    whether that is no higher than LEVEL.

    table: of `measured` or `models`; start: of `models`, for the same seeds.
    """
    keys = [name for name in ("person", "seed") if name in table.columns]
    near = table[(table["metric"] == "kl") & table["set"].isin(NEAR)]
    beside = start[(start["method"] == UNTOUCHED) & (start["metric"] == "kl")].set_index([*keys, "set"])["value"]
    both = near.join(beside.rename("beside"), on=[*keys, "set"])
    wide = both.assign(ratio=both["value"] / both["beside"])
    found = wide.pivot_table(index=["method", *keys], columns="set", values="ratio", sort=False)
    answers = table[(table["metric"] == "answer_probability") & (table["set"] == "forget")]
    told = answers.set_index(["method", *keys])["value"].reindex(found.index)
    level = start[start["method"] == LEVEL].set_index(keys)["value"]
    most = level.reindex(found.index.droplevel("method")).to_numpy()
    found = found.assign(score=np.log(found).mean(axis=1), told=told, forgotten=told.to_numpy() <= most)
    return found.reset_index().rename_axis(columns=None)


def nearest_of(scores: pd.DataFrame) -> str:
    """Return the method with the lowest mean score over people and seeds, whatever it still tells."""
    return str(scores.groupby("method", sort=False)["score"].mean().idxmin())


def chosen(scores: pd.DataFrame) -> str:
    """Return the way for practice: of those that have forgotten in most searches (in all, where there are such) the
    `nearest_of`.

    The rule before this one was `nearest_of`. It chose a way that tells most answers: a model that knows a little of
    everything differs less from the retrained one than one that was pushed further.
    """
    often = scores.groupby("method", sort=False)["forgotten"].mean()
    return nearest_of(scores[scores["method"].isin(often.index[often == often.max()])])


def by_name(profile: Profile, name: str) -> Candidate:
    """Return a way by its name, whatever it reads in this profile; UserError where none of `combinations` has it."""
    known = {one.name: one for one in combinations(profile)}
    if name not in known:
        raise UserError(f"no way {name!r}: {nearest(name, known)}")
    return known[name]


def searched(profile: str, seeds: Sequence[int], people: Sequence[str] = OTHERS, said: Callable = print):
    """Return the rows of `measured` and `models` for every candidate, with the column person, of people who are not
    reported; their models are trained for it and let go. UserError for the person whom the profile reports."""
    frames = []
    for person in people:
        one = profiles.load(f"{profile}@subject={person}")
        if one.subject == profiles.load(profile).subject:
            raise UserError(f"{person} is whom the profile reports: search on somebody else")
        for seed in seeds:
            with ExitStack() as open_folders:
                of = Experiment(one, seed, configurations.passing(one, seed), Models(one, open_folders))
                rows = pd.concat([measured(of, candidates(one)), models(of)], ignore_index=True)
            frames.append(rows.assign(person=person))
            said(f"{person}, seed {seed}: {len(candidates(one))} ways")
    return pd.concat(frames, ignore_index=True)
