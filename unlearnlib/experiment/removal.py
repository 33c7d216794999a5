"""Two ways to choose and to remove: fuzzy matching in one step, and one point after the other (Zagardo 2024, E6).

*Fuzzy matching* picks the trained texts that are like a query, and ascends once along the sum of their gradients.
*Iterative removal* is told the points, and takes them in turn: each has its own gradient at the weights of that moment
and its own calibrated step. Gradients were recorded for the forget set alone, and a query also picks other people's
texts; so both ways use the gradient at present weights, fuzzy matching that of the fine-tuned model.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import pandas as pd

from unlearnlib.core import definitions
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.tables import tidy
from unlearnlib.data.examples import Examples
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import KEYED, distinct, layer_rows
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient, between
from unlearnlib.measures import evaluation
from unlearnlib.measures.landscape import landscape, training_gradient_norm
from unlearnlib.measures.similarity import choice_probability
from unlearnlib.methods.equal_forgetting import first_crossing
from unlearnlib.methods.fuzzy_matching import groups, picked, similarity
from unlearnlib.methods.iterative import UNTIL, Known, Walk, iterative_walk
from unlearnlib.methods.path import along, applied, change_between

KINDS = ("fuzzy", "exact", "iterative")
CALIBRATED_ON = ("forget", "picks")


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

    def _examples(self, names: Sequence[str]) -> Examples:
        sets = [self.experiment.sets[name] for name in ("forget", "retain")]
        questions = {n: q for known in sets for n, q in zip(known.names, known.questions, strict=True)}
        return Examples.asked(names, [questions[name] for name in names])

    def _known(self, examples: Examples) -> Known:
        questions = dict(zip(examples.names, examples.questions, strict=True))

        def known(model, names: Sequence[str]) -> np.ndarray:
            asked = [questions[name] for name in names]
            answers = evaluation.ask(model, asked, self.experiment.profile.evaluation_batch, texts=False)
            return choice_probability(answers.log_probabilities)

        return known

    def _at_once(self, modality: Modality) -> tuple[Gradient, pd.DataFrame, bool]:
        experiment, profile = self.experiment, self.experiment.profile
        removed = self._examples(self.picked(modality))
        selections = experiment.request.selections(self.layers)
        total = per_example.sum_gradient(experiment.finetuned, removed.texts, algebra.parts_of(selections))
        path = along(algebra.select(total, selections))
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
            experiment.request.selections(self.layers),
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
        return found.assign(step_size=algebra.norm(change), reached=reached)

    def grouped(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return `table` (columns set, example) with the set `retain` divided into its groups (see groups)."""
        group = table["example"].map(groups(self.experiment.split))
        return table.assign(set=table["set"].mask(table["set"] == "retain", group))

    def _retrained_change(self) -> Gradient:
        return change_between(self.experiment.finetuned, self.experiment.retrained)

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
                (one, other, algebra.norm(algebra.plus(changes[other], between(changes[one], {}, 2.0))))
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
