"""Mixed models with crossed random effects of seed and example."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from unlearnlib.statistics.groups import (
    NAN,
    NO_SPREAD,
    as_tuple,
    check_known,
    columns_of,
    joined_notes,
    keys_of,
    label_of,
    labels_of,
)


@dataclass(frozen=True)
class MixedModel:
    """A linear mixed model value ~ method with crossed random effects.

    effects: one row per method other than the baseline (the columns of `by`, estimate, se, z, p, low, high);
    sd: the standard deviation of each random effect and of the residual, by name; n rows, seeds, examples;
    converged; singular: some random effect has no variance, or the fit is degenerate; note says what went wrong.
    Read `effects` only where `converged` is true.
    """

    effects: pd.DataFrame
    sd: dict[str, float]
    n: int
    seeds: int
    examples: int
    converged: bool
    singular: bool
    note: str = ""


def mixed_model(
    table: pd.DataFrame,
    baseline,
    by="method",
    value: str = "value",
    seed_by_method: bool = True,
    confidence: float = 0.95,
) -> MixedModel:
    """Return the mixed model value ~ method with crossed random effects of seed and example (REML).

    `table` holds one metric of one set, `baseline` is the method that the others are compared with. A random effect of
    seed alone cancels out of every comparison within seeds, so by default each seed may also move each method its own
    way (`seed_by_method`): without it the intervals are those of a test over points. With one seed both are left out
    and the note says so. Tests are by the normal distribution, so slightly too sure with few seeds. A fit that does not
    converge or is singular is reported in the fields, never raised.
    """
    by = columns_of(table, by)
    labels = labels_of(table, by)
    reference = label_of(baseline)
    check_known(reference, labels)
    data = pd.DataFrame(
        {
            "value": table[value].to_numpy(float),
            "method": labels.to_numpy(),
            "seed": table["seed"].astype(str).to_numpy(),
            "example": table["example"].astype(str).to_numpy(),
        }
    )
    data["pair"] = data["seed"] + " " + data["method"]
    finite = np.isfinite(data["value"])
    note = "" if finite.all() else f"{int((~finite).sum())} values that are not finite were left out"
    data = data[finite]
    seeds, examples = data["seed"].nunique(), data["example"].nunique()
    others = [key for key in dict.fromkeys(keys_of(table, by)) if label_of(key) != reference]
    columns = [*by, "estimate", "se", "z", "p", "low", "high"]
    nothing = pd.DataFrame([(*as_tuple(key), *[NAN] * 6) for key in others], columns=columns)

    def failed(reason: str) -> MixedModel:
        return MixedModel(nothing, {}, len(data), seeds, examples, False, True, joined_notes(note, reason))

    random = {"example": "example"} if data["example"].duplicated().any() and examples > 1 else {}
    if seeds > 1:
        random = {"seed": "seed", **random, **({"seed x method": "pair"} if seed_by_method else {})}
    else:
        note = joined_notes(note, "one seed: no random effect of seed")
    missing = [key for key in others if label_of(key) not in set(data["method"])]
    if not others or missing or reference not in set(data["method"]):
        return failed("a method has no finite value" if others else "only one method")
    scale = float(data["value"].std())
    if not random or not scale > NO_SPREAD * float(data["value"].abs().max()):
        return failed("the values have no spread" if random else "no example is repeated: nothing is random")

    fit, warned = _fit_mixed(data.assign(value=data["value"] / scale), reference, random)
    if fit is None:
        return failed(warned)
    names = fit.model.exog_vc.names
    sd = {name: float(scale * np.sqrt(max(variance, 0.0))) for name, variance in zip(names, fit.vcomp, strict=True)}
    sd["residual"] = float(scale * np.sqrt(fit.scale))
    flat = [name for name, size in sd.items() if size < 1e-3 * scale]
    quantile = stats.norm.ppf((1 + confidence) / 2)
    rows = []
    for key in others:
        estimate, se = (scale * float(part[f"method[{label_of(key)}]"]) for part in (fit.fe_params, fit.bse_fe))
        z = estimate / se if se > 0 else NAN
        rows.append(
            (
                *as_tuple(key),
                estimate,
                se,
                z,
                2 * stats.norm.sf(abs(z)),
                *(estimate + np.array([-1, 1]) * quantile * se),
            )
        )
    effects = pd.DataFrame(rows, columns=columns)
    usable = bool(fit.converged and np.isfinite(effects[["estimate", "se"]]).all(axis=None))
    if flat:
        note = joined_notes(note, f"no variance left for: {', '.join(flat)}")
    if not usable:
        note = joined_notes(note, warned or "the fit did not converge")
    return MixedModel(effects, sd, len(data), seeds, examples, usable, bool(flat) or not usable, note)


def _fit_mixed(data: pd.DataFrame, reference: str, random: dict[str, str]):
    """The fitted model and the first warning; (None, reason) where statsmodels gives up."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    methods = [reference, *(name for name in dict.fromkeys(data["method"]) if name != reference)]
    exog = pd.DataFrame({"Intercept": 1.0}, index=data.index)
    for name in methods[1:]:
        exog[f"method[{name}]"] = (data["method"] == name).astype(float)
    levels, matrices = [], []
    for column in random.values():
        dummies = pd.get_dummies(data[column], dtype=float)
        levels.append([list(dummies.columns)])
        matrices.append([dummies.to_numpy()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            # One group holding everything makes the random effects crossed instead of nested.
            model = MixedLM(
                data["value"], exog, groups=np.ones(len(data)), exog_vc=VCSpec(list(random), levels, matrices)
            )
            fit = model.fit(reml=True, method=["powell", "lbfgs"])
        except (np.linalg.LinAlgError, ValueError) as error:
            return None, f"the fit failed: {error}"
    return fit, str(caught[0].message).splitlines()[0] if caught else ""
