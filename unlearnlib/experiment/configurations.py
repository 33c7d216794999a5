"""The study's comparison once more in other configurations: which conclusions stay where the scale, the data or the
person changes?

The models of a configuration are trained for it and let go again; what was measured is kept, and computed once.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import pandas as pd

from unlearnlib.core import profiles
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment import setting, study, towards
from unlearnlib.experiment.loaded import Models
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.setting import ModelId, Setting
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures.collateral import collateral
from unlearnlib.statistics.paired import paired_t_test, pairs

# Beside all that is made in these places: the paper's step without the last blocks, and in them alone.
PLACES = ("whole model", "embedding")
BESIDE = ("finetuned", "base")  # the models that say what a distance means
MORE = ("first epoch, all but the last blocks, plain", "first epoch, last blocks, plain")


def compared() -> list[Variant]:
    """Return the ways of unlearnlib.experiment.study.factorial that are compared in every configuration."""
    return [one for one in study.factorial() if one.name.split(", ")[1] in PLACES or one.name in MORE]


def differences(profile: Profile, seeds: Sequence[int]) -> pd.DataFrame:
    """Return what differs from the profile in each of its configurations, one row each (column `what differs`), once it
    is sure that each has its data: UserError, naming it, where one asks for people or files that there are not."""
    for name, one in profiles.configurations(profile).items():
        try:
            for seed in seeds:
                setting.split_of(one, seed)
        except UserError as error:
            raise UserError(f"configuration {name!r}: {error}") from None
    changed = {
        name: ", ".join(f"{key}: {value}" for key, value in values.items())
        for name, values in profile.configurations.items()
    }
    return pd.Series({profiles.AS_IT_IS: "", **changed}).to_frame("what differs")


def passing(profile: Profile, seed: int) -> Setting:
    """Return the usual setting with models that are not kept, and of the recorded gradients their sums alone."""
    usual = setting.usual(profile, seed)
    start = ModelId(seed, keep=("joined record", "log"), name="finetuned", passing=True)
    return Setting(profile, seed, start, ModelId(seed, usual.forget, name="retrained", passing=True), usual.forget)


def measured(name: str, profile: Profile, seed: int, variants: Sequence[Variant]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what one configuration of a profile says at a seed, as two tables with the column configuration.

    The first has the measures (see unlearnlib.measures.collateral) of the models BESIDE and of every variant at equal
    forgetting; the second one row, of what there was to forget: texts (trained on), share (of them, to forget),
    finetuned and retrained (mean answer probability of the forget set) and target (of equal forgetting). UserError for
    a name that is none of the profile's configurations.
    """
    known = profiles.configurations(profile)
    if name not in known:
        raise UserError(f"no configuration {name!r}: {nearest(name, known)}")
    with ExitStack() as open_folders:
        chosen = known[name]
        if name == profiles.AS_IT_IS:
            experiment = Experiment(chosen, seed)
        else:
            experiment = Experiment(chosen, seed, passing(chosen, seed), Models(chosen, open_folders))
        start = [towards.seen(experiment, name).assign(stop="models") for name in BESIDE]
        rows = collateral(pd.concat([*start, towards.at_ends(experiment, variants)]))
        return rows.assign(configuration=name), _known(experiment).assign(configuration=name)


def _known(experiment: Experiment) -> pd.DataFrame:
    split = experiment.split
    texts, forget = len(split.forget) + len(split.remaining) + len(split.retain), len(split.forget)
    row = {"seed": experiment.seed, "subject": split.subject, "texts": texts, "share": forget / texts}
    for name in ("finetuned", "retrained"):
        row[name] = experiment.metric("answer_probability", name, sets=["forget"])["value"].mean()
    return pd.DataFrame([{**row, "target": experiment.target()}])


def against_nothing(measures: pd.DataFrame, methods: Sequence[str], measure: str = "forget set: KL") -> pd.DataFrame:
    """Return how a measure in logarithms (see unlearnlib.measures.collateral) stands to that of the model in which
    nothing was forgotten: rows configuration, method, n (seeds), nothing (that model's own value, the geometric mean
    over seeds), ratio (the same of the quotient; below 1 is nearer to the retrained model than doing nothing), low and
    high (its 95% interval), p. Seeds in which the method did not come to its stop are left out.
    """
    rows = []
    chosen = measures[(measures["measure"] == measure) & measures["reached"].ne(False)]
    for name, part in chosen.groupby("configuration", sort=False):
        for method in methods:
            matched = pairs(part, "finetuned", method, unit="seeds")
            test = paired_t_test(matched["before"], matched["after"])
            numbers = np.exp([matched["before"].mean(), test.mean, test.low, test.high])
            rows.append((name, method, test.n, *numbers, test.p))
    return pd.DataFrame(rows, columns=["configuration", "method", "n", "nothing", "ratio", "low", "high", "p"])
