"""Experiments in which only a few of the subject's points are forgotten, beside the one in which all of them are."""

from collections.abc import Sequence

import pandas as pd

from unlearnlib.core.tables import tidy
from unlearnlib.experiment.measured import Experiment

# What a smaller forget set is compared on; people never seen are read from the whole experiment.
SETS = ("forget", "paraphrase", "remaining", "retain")


class SmallerExperiment(Experiment):
    """The experiment of the same seed in which `points` of the points are forgotten and the others remain.

    It has the same fine-tuned model as the whole experiment, whose evaluations it takes over: only the model
    retrained without these points is evaluated anew, and on SETS alone.
    """

    def __init__(self, whole: Experiment, points: int):
        super().__init__(whole.profile, whole.seed, points)
        self.whole = whole

    @property
    def _base(self):
        return self.whole._base

    def _is_changed(self) -> bool:
        return self.whole._is_changed()

    @property
    def finetuned(self):
        """The model fine-tuned on everything: that of the whole experiment."""
        return self.whole.finetuned

    @property
    def unknown_probabilities(self):
        """What the fine-tuned model says about never-seen people: it is that of the whole experiment."""
        return self.whole.unknown_probabilities

    def references(self) -> pd.DataFrame:
        """Return the evaluation of base and finetuned on every set, and of retrained on SETS (column method)."""
        known = self.whole.references().query("method != 'retrained'")
        own = tidy(self.measured(self.answers("retrained", SETS)), method="retrained")
        return pd.concat([few_of(known, [record.id for record in self.split.forget]), own], ignore_index=True)


def few_of(table: pd.DataFrame, points: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `table` as they are called where only `points` are forgotten.

    Other rows of the set forget become the set remaining; paraphrases (`<id>#<number>`) of other points are left out.
    """
    point = table["example"].str.rpartition("#")[0].where(table["set"] == "paraphrase", table["example"])
    other = ~point.isin(list(points))
    moved = table.assign(set=table["set"].mask(other & (table["set"] == "forget"), "remaining"))
    return moved[~(other & (table["set"] == "paraphrase"))].reset_index(drop=True)
