"""What was measured of each guarantee, in one table beside what it promises."""

from collections.abc import Mapping

import pandas as pd

from unlearnlib.experiment.certificates import BY_THE_NOISE, MANY
from unlearnlib.experiment.manifests import AS_WRITTEN
from unlearnlib.guarantees import audit, promises

RIGHT = ("Newton step", MANY)  # ways to forget that are promised


def table(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the table of unlearnlib.guarantees.promises with what was measured, from the tables that there are (see
    measured)."""
    return promises.table(measured(tables))


def measured(tables: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Return what was measured of each guarantee, as a line, from the tables of this module by name: verified,
    removals, audited, sums, clusters, shares, ensemble, private; what is not there is left out."""
    found = {}
    if "verified" in tables:
        one = tables["verified"]
        right, changed = one[one["case"] == AS_WRITTEN], one[one["case"] != AS_WRITTEN]
        caught = f"{(changed['exit'] == 1).sum()} of {len(changed)} changed copies found out"
        found["exact replay"] = (
            f"{(right['exit'] == 0).sum()} of {len(right)} verified by the second program; the retrained model's bits: "
            f"{bool(right['retrained'].all())}; {caught}"
        )
    if "removals" in tables:
        found["certified removal"] = _of_removal(tables["removals"], tables.get("audited"))
    if "known" in tables:
        rows = tables["known"].query("metric == 'answer_probability' and set == 'retain'")
        known = rows.groupby(["training", "epsilon"], sort=False)["value"].mean().round(2)
        shown = [f"{value} at {epsilon:.3g}" for (training, epsilon), value in known.items() if training == "private"]
        found["differential privacy"] = (
            f"neighbours' answer probability by epsilon of one text: {', '.join(shown)} (base {known['base'].iloc[0]}, "
            f"fine-tuned {known['fine-tuned'].iloc[0]})"
        )
    if "shares" in tables:
        found["SISA"] = _of_shards(tables["shares"], tables.get("ensemble"))
    if "sums" in tables:
        far = tables["sums"].groupby("model", sort=False)["difference"].max()
        found["sums"] = "; ".join(f"{name}: differs by {value:.1e} at most" for name, value in far.items())
    if "clustered" in tables:
        rows = tables["clustered"]
        exact = rows[(rows["way"] != "rounded") | (rows["setting"] > 0)].groupby("way", sort=False)["work"]
        cost = ", ".join(
            f"{name} {low:.2g} to {high:.2g}" for name, low, high in exact.agg(["min", "max"]).itertuples()
        )
        found["k-means"] = f"equal in every bit: {bool(rows['equal'].all())}; work of a deletion over a fit: {cost}"
    return found


def _of_removal(removed: pd.DataFrame, audited: pd.DataFrame | None) -> str:
    last = (
        removed[removed["removed"] == removed["removed"].max()].groupby("way")[["epsilon", "fits", "accuracy"]].mean()
    )
    step, nothing = (last.loc[way, "epsilon"] for way in ("Newton step", "nothing done"))
    text = (
        f"epsilon {step:.2f} for {removed['removed'].max()} texts without training again, "
        f"{nothing:.3g} if nothing is done; {last.loc['trained again when due', 'fits'] - 1:.1f} trainings due"
    )
    if audited is None:
        return text
    of = {way: rows["shown"] for way, rows in audited.groupby("way", sort=False)}
    right = max(of[way].max() for way in RIGHT if way in of)
    wrong = [way for way in (*audit.WAYS, BY_THE_NOISE, "without noise") if way in of and way not in RIGHT]
    limit = audited.loc[audited["way"] == "Newton step", "promised"].iloc[0]
    caught = ", ".join(f"{way} in {(of[way] > limit).sum()} of {len(of[way])}" for way in wrong)
    return f"{text}; audit: {right:.2f} at most shown of removals; more than promised of wrong ones ({caught} seeds)"


def _of_shards(shares: pd.DataFrame, known: pd.DataFrame | None) -> str:
    rows = shares[(shares["texts"] == shares["texts"].max()) & (shares["shards"] == 5) & (shares["slices"] == 1)]
    share = rows.groupby("placed")[["share", "expected"]].mean()
    text = "; ".join(
        f"5 shards, placed by {placed}: {row.share:.2f} made anew (formula {row.expected:.2f})"
        for placed, row in share.iterrows()
    )
    if known is None:
        return text
    retain = known[known["set"] == "retain"].groupby("model")["answer_probability"].mean()
    return (
        f"{text}; neighbours' answer probability {retain['shards']:.2f} in the ensemble, {retain['whole']:.2f} in one "
        f"model; forgotten as trained without, in every bit: {bool(known['equal'].all())}"
    )
