"""An effect in two groups of runs: against formulas written out, and what it does with too few seeds."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlearnlib.core.errors import UserError
from unlearnlib.statistics import between

SMALL = {
    "known": ([0.1, 0.2, 0.4, 0.3], [0.5, 0.5, 0.9, 0.6]),
    "distance": ([1.0, 2.0, 1.5, 1.2], [0.5, 1.9, 0.4, 0.6]),
}
REAL = {"known": ([0.2, 0.3, 0.1], [0.2, 0.5, 0.0]), "distance": ([2.0, 3.0, 2.0], [1.0, 1.0, 2.5])}
BETTER = {"known": "higher", "distance": "lower"}


def table(**models):
    rows = [
        (model, seed, method, measure, value, BETTER[measure])
        for model, measures in models.items()
        for measure, pair in measures.items()
        for method, values in zip(("before", "after"), pair, strict=True)
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows, columns=["model", "seed", "method", "measure", "value", "better"])


def test_a_gain_speaks_for_the_second_way_whatever_the_measure():
    found = between.gains(table(small=SMALL, real=REAL), "after", "before").set_index(["model", "measure"])
    changes = np.subtract(*reversed(SMALL["distance"]))
    row = found.loc[("small", "distance")]
    half = stats.t.ppf(0.975, 3) * changes.std(ddof=1) / 2
    assert row["gain"] == pytest.approx(-changes.mean()) and row["gain"] > 0, "a smaller distance is a gain"
    assert (row["low"], row["high"]) == (pytest.approx(-changes.mean() - half), pytest.approx(-changes.mean() + half))
    assert found.loc[("small", "known"), "gain"] == pytest.approx(np.subtract(*reversed(SMALL["known"])).mean())
    assert found["n"].tolist() == [4, 4, 3, 3] and (found["p_holm"] >= found["p"]).all()


def test_two_models_are_compared_by_welch():
    """Degrees of freedom by Welch and Satterthwaite, written out."""
    found = between.compare_gains(table(small=SMALL, real=REAL), "after", "before", ["small", "real"])
    row = found.set_index("measure").loc["distance"]
    ours, theirs = (-np.subtract(*reversed(one["distance"])) for one in (SMALL, REAL))
    parts = [one.var(ddof=1) / len(one) for one in (ours, theirs)]
    freedom = sum(parts) ** 2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, (ours, theirs), strict=True))
    difference, error = theirs.mean() - ours.mean(), math.sqrt(sum(parts))
    half = stats.t.ppf(0.975, freedom) * error
    assert row["difference"] == pytest.approx(difference) and row["n"] == 3
    assert (row["low"], row["high"]) == (pytest.approx(difference - half), pytest.approx(difference + half))
    assert row["p"] == pytest.approx(2 * stats.t.sf(abs(difference) / error, freedom))
    turned = between.compare_gains(table(small=SMALL, real=REAL), "after", "before", ["real", "small"])
    assert turned["difference"].tolist() == pytest.approx((-found["difference"]).tolist())


def test_one_seed_says_nothing_and_a_slip_is_one_line():
    one = {name: (before[:1], after[:1]) for name, (before, after) in REAL.items()}
    found = between.compare_gains(table(small=SMALL, real=one), "after", "before", ["small", "real"])
    assert found["n"].tolist() == [1, 1] and found[["difference", "low", "high", "p", "p_holm"]].isna().all(axis=None)
    with pytest.raises(UserError, match="no rows of 'reel'"):
        between.compare_gains(table(small=SMALL, real=REAL), "after", "before", ["small", "reel"])
    with pytest.raises(UserError, match="no rows of 'afterwards'"):
        between.gains(table(small=SMALL), "afterwards", "before")
    apart = {"small": {"known": SMALL["known"]}, "real": {"distance": REAL["distance"]}}
    with pytest.raises(UserError, match="no measure in common"):
        between.compare_gains(table(**apart), "after", "before", ["small", "real"])
