"""Forget sets of several sizes: what it costs to forget one point, a few, or all of them."""

from collections.abc import Sequence

import pandas as pd

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import setting, towards
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures.collateral import collateral

SMALLEST = 0.05  # where the search for the step of fewer points begins (L2 norm): they need less than all of them
REST = "the subject's other points: answer probability"


def measured(experiment: Experiment, variants: Sequence[Variant]) -> pd.DataFrame:
    """Return what each variant costs at equal forgetting of so many points as each of the profile's forget_sizes, and
    of all of them: the rows of unlearnlib.measures.collateral.collateral, with the columns points and step_size.

    The distances are from the model retrained without these very points, and the method finetuned is doing nothing.
    Where points of the subject stay, REST is one measure more: how well these are still known (higher is better).
    """
    sizes = [*experiment.profile.forget_sizes, len(experiment.split.forget)]
    if sizes != sorted(set(sizes)):
        raise UserError(f"forget_sizes {sizes[:-1]}: give numbers that rise, below {sizes[-1]}")
    return pd.concat([_of_size(experiment, size, variants) for size in sizes], ignore_index=True)


def _of_size(experiment: Experiment, points: int, variants: Sequence[Variant]) -> pd.DataFrame:
    whole = points == len(experiment.split.forget)
    small = experiment
    if not whole:
        small = experiment.beside(setting.smaller(experiment.profile, experiment.seed, points))
    frames = [_at(small, "finetuned", None)]
    for variant in variants:
        end = small.calibrated(variant, smallest=None if whole else SMALLEST)
        frames.append(_at(small, variant, end.step_size).assign(reached=end.reached))
    return pd.concat(frames).assign(points=points)


def _at(experiment: Experiment, of: Variant | str, step_size: float | None) -> pd.DataFrame:
    rows = collateral(towards.seen(experiment, of, step_size), by=("seed", "method"))
    if experiment.split.remaining:
        kept = experiment.metric("answer_probability", of, step_size, ["remaining"])["value"].mean()
        more = {"seed": experiment.seed, "method": rows["method"].iloc[0], "measure": REST, "value": kept}
        rows = pd.concat([rows, pd.DataFrame([{**more, "better": "higher"}])])
    return rows.assign(step_size=step_size)
