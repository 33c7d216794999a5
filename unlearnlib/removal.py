"""Two ways to choose and to remove: fuzzy matching in one step, and one point after the other (Zagardo 2024, E6).

*Fuzzy matching* picks the trained texts that are like a query, and ascends once along the sum of their gradients.
*Iterative removal* is told the points, and takes them in turn: each has its own gradient at the weights of that moment
and its own calibrated step. Gradients were recorded for the forget set alone, and a query also picks other people's
texts; so both ways use the gradient at present weights, fuzzy matching that of the fine-tuned model.
"""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from rapidfuzz import fuzz

from unlearnlib import definitions, evaluation, gradients
from unlearnlib.calibration import Calibration, first_crossing
from unlearnlib.data import Split, name_words
from unlearnlib.errors import UserError, nearest
from unlearnlib.experiment import KEYED, Experiment, distinct, layer_rows
from unlearnlib.gradients import Gradient
from unlearnlib.metrics.similarity import choice_probability
from unlearnlib.models import Selection, resolve
from unlearnlib.subsets import drawn
from unlearnlib.tables import tidy
from unlearnlib.unlearning.task import applied, apply, straight

SCORERS = {
    name: getattr(fuzz, name)
    for name in (
        "ratio",
        "partial_ratio",
        "token_sort_ratio",
        "token_set_ratio",
        "partial_token_sort_ratio",
        "partial_token_set_ratio",
        "WRatio",
    )
}
GROUPS = ("forget", "namesake", "same answer", "other neighbours")
KINDS = ("fuzzy", "exact", "iterative")
CALIBRATED_ON = ("forget", "picks")
UNTIL = ("mean", "every point")

Known = Callable[[torch.nn.Module, Sequence[str]], np.ndarray]


# Fuzzy matching


def similarity(query: str, texts: Mapping[str, str], scorer: str = "partial_ratio") -> dict[str, float]:
    """Return how like the query each text is, by id: 0 to 100, higher is more alike; upper and lower case differ.

    `scorer` names a function of rapidfuzz.fuzz (see SCORERS): `ratio` compares the whole strings, `partial_ratio` the
    query with the best-fitting stretch of the text, the `token` ones compare words whatever their order. UserError for
    an unknown scorer or an empty query.
    """
    if scorer not in SCORERS:
        raise UserError(f"no scorer {scorer!r}: {nearest(scorer, SCORERS)}")
    if not query.strip():
        raise UserError("the query is empty: give a name, or a text about the person")
    return {name: float(SCORERS[scorer](query, text)) for name, text in texts.items()}


def picked(query: str, texts: Mapping[str, str], scorer: str = "partial_ratio", threshold: float = 60.0) -> list[str]:
    """Return the ids of the texts whose similarity to the query is at least `threshold`, sorted.

    UserError for a threshold outside 0 to 100, and where nothing is picked: the message names the nearest text.
    """
    if not 0 <= threshold <= 100:
        closest = 0 if threshold < 0 else 100
        raise UserError(f"threshold {threshold} is no similarity: give 0 to 100; the nearest is {closest}")
    scores = similarity(query, texts, scorer)
    chosen = sorted(name for name, score in scores.items() if score >= threshold)
    if not chosen:
        best = max(sorted(scores), key=scores.__getitem__)
        raise UserError(
            f"no text is {threshold:g} or more like {query!r} by {scorer}: the nearest is {best!r} "
            f"with {scores[best]:.1f}; lower the threshold"
        )
    return chosen


def groups(split: Split) -> dict[str, str]:
    """Return the group of every trained text, by id (see GROUPS).

    `forget`: the forget set; `namesake`: a neighbour who shares a word of the subject's name; `same answer`: another
    neighbour's text with the attribute and answer of a forget text; `other neighbours`: the rest of the retain set.
    """
    name = {word for record in split.forget for word in name_words(record.subject)}
    told = {(record.attribute, record.answer) for record in split.forget}
    result = {record.id: "forget" for record in split.forget}
    for record in split.retain:
        result[record.id] = (
            "namesake"
            if name & set(name_words(record.subject))
            else "same answer"
            if (record.attribute, record.answer) in told
            else "other neighbours"
        )
    return result


def picks_along(scores: pd.DataFrame, thresholds: Sequence[float]) -> pd.DataFrame:
    """Return what each threshold picks: rows (threshold, group, picked, of, share) for each group of `scores`.

    `scores` has the columns group and score, a row a text; picked and of count texts, share is their quotient.
    """
    rows = [
        (float(threshold), group, int((mine >= threshold).sum()), len(mine), float((mine >= threshold).mean()))
        for threshold in thresholds
        for group, mine in scores.groupby("group", sort=False)["score"]
    ]
    return pd.DataFrame(rows, columns=["threshold", "group", "picked", "of", "share"])


def precision_and_recall(picks: pd.DataFrame, by: Sequence[str] = ("threshold",)) -> pd.DataFrame:
    """Return rows (columns of `by`, picked, precision, recall) of a table of picks_along.

    precision: share of the picked texts that are of the forget set (NaN where nothing is picked); recall: share of the
    forget set that is picked. Higher is better.
    """
    rows = []
    for key, part in picks.groupby(list(by), sort=False):
        mine, count = part[part["group"] == "forget"], int(part["picked"].sum())
        hits = int(mine["picked"].sum())
        rows.append((*key, count, hits / count if count else float("nan"), hits / int(mine["of"].sum())))
    return pd.DataFrame(rows, columns=[*by, "picked", "precision", "recall"])


# Iterative removal


@dataclass(frozen=True)
class Walk:
    """What iterative removal did.

    change: the total change of the parameters, by name; log: a row for every visit of a point, in order (pass, point,
    before, after: its own answer probability; steps, step_size: how many, and the sum of their L2 norms, 0 where it was
    skipped; mean: that of all points after the visit); reached: whether the walk came to its end; at_mean: the same
    walk as it was when the mean of all points was first at the target (None where it never was).
    """

    change: Gradient
    log: pd.DataFrame
    reached: bool
    at_mean: "Walk | None" = None


def iterative_walk(
    model,
    texts: Mapping[str, Sequence[int]],
    known: Known,
    target: float,
    selections: Mapping[str, Selection],
    order: Sequence[str],
    search: Mapping[str, float],
    until: str = "every point",
    most_steps: int = 8,
    passes: int = 2,
) -> Walk:
    """Remove the points of `texts` (token ids by id) one by one in `order`; `model` itself is not changed.

    A visit takes the gradient of this one point at the weights of that moment and ascends along it to the smallest step
    found at which `known(model, [point])`, its answer probability, is at or below `target`. Where `search` (smallest,
    factor, largest, tolerance: see first_crossing) has no such step, the best one is taken and the gradient is computed
    anew, at most `most_steps` times. A point that is at the target already is skipped. While points are above it,
    having stayed there or been brought back by others' steps, the list is gone through again, at most `passes` times in
    all. With `until="mean"` the walk ends as soon as the mean of all points is at the target, the last visit shortened
    to the crossing. UserError for an order that is not one of the points, and for an unknown `until`.
    """
    if until not in UNTIL:
        raise UserError(f"a walk cannot go on until {until!r}: {nearest(until, UNTIL)}")
    strange = [name for name in order if name not in texts]
    if strange:
        raise UserError(f"no point {strange[0]!r} to remove: {nearest(strange[0], texts)}")
    if sorted(order) != sorted(texts):
        raise UserError(f"the order has {len(order)} entries for {len(texts)} points: name every point once")
    parts, names = gradients.parts_of(selections), list(order)
    moved, log = copy.deepcopy(model), []
    parameters = dict(moved.named_parameters())
    change: Gradient = {name: torch.zeros_like(parameters[name]) for name in selections}

    def everyone() -> dict[str, float]:
        return dict(zip(names, map(float, known(moved, names)), strict=True))

    def mean_of(values: Mapping[str, float]) -> float:
        return float(np.mean(list(values.values())))

    def walked(rows: list, total: Gradient, reached: bool, at_mean: Walk | None) -> Walk:
        columns = ["pass", "point", "before", "after", "steps", "step_size", "mean"]
        return Walk(total, pd.DataFrame(rows, columns=columns), reached, at_mean)

    values = everyone()
    at_mean = walked([], change, True, None) if mean_of(values) <= target else None
    for round_number, name in itertools.product(range(passes), names):
        if at_mean is not None if until == "mean" else max(values.values()) <= target:
            break
        own, lengths, visit = values[name], [], {}
        while own > target and len(lengths) < most_steps:
            path = straight(gradients.select(gradients.sum_gradient(moved, [texts[name]], parts), selections))
            ahead = _ahead(moved, path, lambda changed, name=name: float(known(changed, [name])[0]))
            step, own = _down_to(target, first_crossing(ahead, target, **search))
            apply(moved, path(step), in_place=True)
            visit = gradients.plus(visit, path(step))
            lengths.append(step)
        row = (round_number, name, values[name])
        if lengths:
            values = everyone()
        if at_mean is None and mean_of(values) <= target:
            back = _ahead(moved, _taken_back(visit), lambda changed: float(known(changed, names).mean()))
            found = first_crossing(back, target, smallest=1 / 16, factor=2.0, largest=1.0, tolerance=0.05)
            share, reached_mean = _down_to(target, found)
            part = between({}, visit, share)
            with applied(moved, _taken_back(visit)(share)):
                left = float(known(moved, [name])[0])
            rows = [*log, (*row, left, len(lengths), share * sum(lengths), reached_mean)]
            at_mean = walked(rows, gradients.plus(change, part), True, None)
        change = gradients.plus(change, visit)
        log.append((*row, values[name], len(lengths), sum(lengths), mean_of(values)))
    if until == "mean":
        return at_mean or walked(log, change, False, None)
    return walked(log, change, max(values.values()) <= target, at_mean)


def _ahead(model, path: Callable[[float], Gradient], measure: Callable) -> Callable[[float], float]:
    """What `measure` finds in the model at a step along the path."""

    def at(step: float) -> float:
        with applied(model, path(step)) as changed:
            return measure(changed)

    return at


def _taken_back(visit: Gradient) -> Callable[[float], Gradient]:
    """The change that leaves only a share of a visit that has been made already."""
    return lambda share: between({}, visit, share - 1)


def _down_to(target: float, found: Calibration) -> tuple[float, float]:
    """The smallest step looked at whose value is at or below the target, or the best one where none is; its value."""
    good = [pair for pair in found.evaluated if pair[1] <= target]
    return min(good) if good else (found.step_size, found.value)


# Where a model ends


def landscape(
    model,
    ends: Mapping[str, Mapping[str, torch.Tensor]],
    lines: Sequence[tuple[str, str]],
    texts: Mapping[str, Sequence[Sequence[int]]],
    points: int = 7,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Return the loss along straight lines between models: rows (start, end, share, set, value).

    `ends` are models as changes of the parameters of `model`, by name ({} is `model` itself); `lines` are pairs of
    these names; `share` runs from 0 at the start to 1 at the end in `points` values; `value` is the mean over the texts
    (token ids) of each set of their mean -log p a token (nats; lower is likelier). UserError for an unknown end and
    for fewer than two points.
    """
    if points < 2:
        raise UserError(f"a line of {points} points: give at least 2, its ends")
    losses: dict[tuple, dict[str, float]] = {}

    def at(key: tuple, change: Mapping[str, torch.Tensor]) -> dict[str, float]:
        if key not in losses:  # an end belongs to several lines
            with applied(model, change):
                losses[key] = {
                    name: float(evaluation.text_nll(model, chosen, batch_size).mean()) for name, chosen in texts.items()
                }
        return losses[key]

    rows = []
    for start, end in lines:
        for name in (start, end):
            if name not in ends:
                raise UserError(f"no model {name!r} at the end of a line: {nearest(name, ends)}")
        for share in np.linspace(0, 1, points):
            key = (start,) if share == 0 else (end,) if share == 1 else (start, end, share)
            found = at(key, between(ends[start], ends[end], float(share)))
            rows += [(start, end, float(share), name, value) for name, value in found.items()]
    return pd.DataFrame(rows, columns=["start", "end", "share", "set", "value"])


def between(start: Mapping[str, torch.Tensor], end: Mapping[str, torch.Tensor], share: float) -> Gradient:
    """Return the change that lies `share` of the way from the change `start` to `end`; a missing part is zero."""
    return gradients.plus(
        {name: (1 - share) * value for name, value in start.items()},
        {name: share * value for name, value in end.items()},
    )


def training_gradient_norm(model, texts: Sequence[Sequence[int]]) -> float:
    """Return the L2 norm, over all parameters, of the gradient of the mean text NLL; near 0 is a stationary point."""
    whole = gradients.select(gradients.sum_gradient(model, texts), resolve(model, "all"))
    return gradients.norm(whole) / len(texts)


# One seed's removals


@dataclass(frozen=True)
class Modality:
    """One way to choose and to remove, and its name in tables and figures.

    kind `fuzzy`: one ascent along the gradients of the texts that `query` picks with `scorer` and `threshold`; `exact`:
    the same for the forget set itself, as if a query had picked it and nothing else; both go to the target on the
    answer probability of the forget set, or of what was picked (`calibrated_on`). `iterative`: point by point in the
    `order` of that number (0 is by id, others are drawn), `until` the mean or every point is at the target.
    """

    name: str
    kind: str = "fuzzy"
    query: str = ""
    scorer: str = "partial_ratio"
    threshold: float = 60.0
    calibrated_on: str = "forget"
    order: int = 0
    until: str = "mean"

    def __post_init__(self):
        for field, choices in (("kind", KINDS), ("calibrated_on", CALIBRATED_ON), ("until", UNTIL)):
            if getattr(self, field) not in choices:
                raise UserError(f"no {field} {getattr(self, field)!r}: {nearest(getattr(self, field), choices)}")


class Removals:
    """What fuzzy matching and iterative removal do to the model of one experiment, on some layers.

    `longest` bounds a single step of the walk (L2 norm), `most_steps` the steps of one visit, `passes` how often the
    list is gone through (see iterative_walk). Every table is computed once (Experiment.table).
    """

    def __init__(
        self,
        experiment: Experiment,
        layers: str = "embedding",
        longest: float = 0.4,
        most_steps: int = 8,
        passes: int = 2,
    ):
        self.experiment, self.layers, self.longest = experiment, layers, longest
        self.most_steps, self.passes = most_steps, passes
        records = [*experiment.split.forget, *experiment.split.retain]
        self.texts = {record.id: record.text for record in records}
        self._changes: dict[str, tuple[Gradient, pd.DataFrame, bool]] = {}
        self._walks: dict[tuple[int, str], Walk] = {}

    def _table(self, name: str, key: Mapping, compute: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        own = {
            "target": self.experiment.target(),
            "search": self.experiment.search(),
            "meaning": definitions.code(*layer_rows(self.layers), without=KEYED),
            "layers": self.layers,
            "longest": self.longest,
            "most_steps": self.most_steps,
            "passes": self.passes,
        }
        return self.experiment.table(name, {**own, **key}, compute)

    @staticmethod
    def _key(modality: Modality) -> dict:
        return {name: value for name, value in asdict(modality).items() if name != "name"}

    def scores(self, query: str, scorer: str) -> pd.DataFrame:
        """Return rows (profile, seed, example, group, score): how like the query every trained text is (0 to 100)."""
        found, group = similarity(query, self.texts, scorer), groups(self.experiment.split)
        table = pd.DataFrame({"example": name, "group": group[name], "score": score} for name, score in found.items())
        return tidy(table, profile=self.experiment.profile.name, seed=self.experiment.seed)

    def picked(self, modality: Modality) -> list[str]:
        """Return the ids that a modality removes, sorted: those its query picks, or the forget set."""
        if modality.kind == "fuzzy":
            return picked(modality.query, self.texts, modality.scorer, modality.threshold)
        return sorted(record.id for record in self.experiment.split.forget)

    def change(self, modality: Modality) -> Gradient:
        """Return the change of the parameters, from the fine-tuned model on, that a modality ends with."""
        return self._removed(modality)[0]

    def visits(self, modality: Modality) -> pd.DataFrame:
        """Return the steps of a modality: the log of the walk (see Walk), or the one row of a single ascent.

        Columns more: method, layers, reached, picked (how many texts it removes).
        """

        def compute() -> pd.DataFrame:
            _, log, reached = self._removed(modality)
            return log.assign(reached=reached, picked=len(self.picked(modality)))

        found = self._table("removal-visits", self._key(modality), compute)
        return tidy(found, method=modality.name, layers=self.layers)

    def _removed(self, modality: Modality) -> tuple[Gradient, pd.DataFrame, bool]:
        key = str(self._key(modality))
        if key not in self._changes:
            self._changes[key] = self._walked(modality) if modality.kind == "iterative" else self._at_once(modality)
        return self._changes[key]

    def _examples(self, names: Sequence[str]) -> evaluation.Examples:
        sets = [self.experiment.sets[name] for name in ("forget", "retain")]
        questions = {n: q for known in sets for n, q in zip(known.names, known.questions, strict=True)}
        return evaluation.Examples.asked(names, [questions[name] for name in names])

    def _known(self, examples: evaluation.Examples) -> Known:
        questions = dict(zip(examples.names, examples.questions, strict=True))

        def known(model, names: Sequence[str]) -> np.ndarray:
            asked = [questions[name] for name in names]
            answers = evaluation.ask(model, asked, self.experiment.profile.evaluation_batch, texts=False)
            return choice_probability(answers.log_probabilities)

        return known

    def _at_once(self, modality: Modality) -> tuple[Gradient, pd.DataFrame, bool]:
        experiment, profile = self.experiment, self.experiment.profile
        removed = self._examples(self.picked(modality))
        selections = experiment.task.selections(self.layers)
        total = gradients.sum_gradient(experiment.finetuned, removed.texts, gradients.parts_of(selections))
        path = straight(gradients.select(total, selections))
        watched = experiment.sets["forget"] if modality.calibrated_on == "forget" else removed

        def mean(step: float) -> float:
            with applied(experiment.finetuned, path(step)) as model:
                return evaluation.answer_probability(model, watched, profile.evaluation_batch)

        found = first_crossing(mean, experiment.target(), **experiment.search())
        row = {"pass": 0, "point": "all at once", "steps": 1, "step_size": found.step_size, "mean": found.value}
        return path(found.step_size), pd.DataFrame([row]), found.reached

    def _walked(self, modality: Modality) -> tuple[Gradient, pd.DataFrame, bool]:
        whole = self._walks.get((modality.order, "every point"))
        if modality.until == "mean" and whole is not None and whole.at_mean is not None:
            walk = whole.at_mean
        else:
            walk = self._walks[modality.order, modality.until] = self._walk(modality)
        return walk.change, walk.log, (modality.until == "mean" and walk.reached) or walk.at_mean is not None

    def _walk(self, modality: Modality) -> Walk:
        experiment, forget = self.experiment, self.experiment.sets["forget"]
        names = sorted(forget.names)
        return iterative_walk(
            experiment.finetuned,
            dict(zip(forget.names, forget.texts, strict=True)),
            self._known(forget),
            experiment.target(),
            experiment.task.selections(self.layers),
            drawn(names, experiment.seed, f"order {modality.order}") if modality.order else names,
            {"smallest": self.longest / 16, "factor": 2.0, "largest": self.longest, "tolerance": 0.1},
            modality.until,
            self.most_steps,
            self.passes,
        )

    def ends(self, modality: Modality, sets: Sequence[str] = ("forget", "paraphrase", "retain")) -> pd.DataFrame:
        """Return the tidy evaluation of the model that a modality ends with, on the named sets.

        step_size is the L2 norm of the total change; reached: whether the mean that the modality watches (that of the
        forget set, or of what was picked) came to the target.
        """

        key = {**self._key(modality), "sets": list(sets)}
        found = self._table("removal-ends", key, partial(self._answers, modality, sets))
        end = {name: found[name].iloc[0] for name in ("step_size", "reached")}
        return tidy(self.experiment.measured(found), method=modality.name, layers=self.layers, **end)

    def _answers(self, modality: Modality, sets: Sequence[str]) -> pd.DataFrame:
        experiment = self.experiment
        change, _, reached = self._removed(modality)
        with applied(experiment.finetuned, change) as model:
            chosen = {name: experiment.sets[name] for name in sets}
            found = evaluation.answered(model, chosen, experiment.profile.evaluation_batch)
        return found.assign(step_size=gradients.norm(change), reached=reached)

    def grouped(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return `table` (columns set, example) with the set `retain` divided into its groups (see groups)."""
        group = table["example"].map(groups(self.experiment.split))
        return table.assign(set=table["set"].mask(table["set"] == "retain", group))

    def _retrained_change(self) -> Gradient:
        start = dict(self.experiment.finetuned.named_parameters())
        ends = self.experiment.retrained.named_parameters()
        return {name: (value - start[name]).detach() for name, value in ends}

    def _changes_of(self, modalities: Sequence[Modality]) -> dict[str, Gradient]:
        return {
            "finetuned": {},
            "retrained": self._retrained_change(),
            **{modality.name: self.change(modality) for modality in modalities},
        }

    def _keys(self, modalities: Sequence[Modality]) -> dict:
        return {modality.name: self._key(modality) for modality in distinct(modalities)}

    def stationary(self, modalities: Sequence[Modality]) -> pd.DataFrame:
        """Return rows (method, gradient_norm) for the fine-tuned, the retrained and each unlearned model: the L2 norm
        of the gradient, over all parameters, of the training loss on the retained texts."""

        def compute() -> pd.DataFrame:
            texts, rows = self.experiment.sets["retain"].texts, []
            for name, change in self._changes_of(modalities).items():
                with applied(self.experiment.finetuned, change) as model:
                    rows.append((name, training_gradient_norm(model, texts)))
            return pd.DataFrame(rows, columns=["method", "gradient_norm"])

        return self._table("removal-stationary", {"of": self._keys(modalities)}, compute)

    def distances(self, modalities: Sequence[Modality]) -> pd.DataFrame:
        """Return rows (one, other, distance): the L2 distance over all parameters of every pair out of the fine-tuned,
        the retrained and each unlearned model."""

        def compute() -> pd.DataFrame:
            changes = self._changes_of(modalities)
            rows = [
                (one, other, gradients.norm(gradients.plus(changes[other], between(changes[one], {}, 2.0))))
                for one, other in itertools.combinations(changes, 2)
            ]
            return pd.DataFrame(rows, columns=["one", "other", "distance"])

        return self._table("removal-distances", {"of": self._keys(modalities)}, compute)

    def landscape(self, modalities: Sequence[Modality], points: int = 7, every: int = 2) -> pd.DataFrame:
        """Return the loss of the forget and the retain texts on the lines fine-tuned to retrained, fine-tuned to
        unlearned and unlearned to retrained (see landscape); of each set every `every`-th text is read."""
        lines = [("finetuned", "retrained")]
        for modality in modalities:
            lines += [("finetuned", modality.name), (modality.name, "retrained")]

        def compute() -> pd.DataFrame:
            texts = {name: self.experiment.sets[name].texts[::every] for name in ("forget", "retain")}
            return landscape(self.experiment.finetuned, self._changes_of(modalities), lines, texts, points)

        key = {"of": self._keys(modalities), "points": points, "every": every}
        return self._table("removal-landscape", key, compute)
