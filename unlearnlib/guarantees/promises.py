"""What each guarantee promises, about what, under which assumptions, when it ends, and what it does not say."""

from collections.abc import Mapping

import pandas as pd

from unlearnlib.core.errors import UserError, nearest

COLUMNS = ("promise", "about", "assumes", "ends", "price")
PROMISES: dict[str, tuple[str, ...]] = {
    "exact replay": (
        "the same bits as training without the texts",
        "this model, by this program",
        "the log is what happened; same libraries and kind of machine; batch places as if the texts had been there",
        "log, texts that stay, or environment are lost",
        "the steps from the text's first use on, and the log",
    ),
    "certified removal": (
        "(epsilon, delta) to a head trained without the texts",
        "a logistic head on frozen features",
        "features that never saw the texts; secret noise; earlier heads unpublished; requests not chosen by models; "
        "bounds that spread over the noise as planned",
        "the planned bounds on the residual add up to the budget: then it is trained again, whatever the noise is",
        "noise in the head",
    ),
    "differential privacy": (
        "(epsilon, delta) to training without one text, with nothing done afterwards",
        "any model so trained, requests of any kind",
        "sampling, clipping and noise as accounted for; settings not chosen on the data; base model not covered",
        "more texts go than one: a person of k texts has k epsilon, and soon nothing",
        "knowledge",
    ),
    "SISA": (
        "the same bits as the ensemble trained without the texts",
        "an ensemble of shards, which is another model than one over all data",
        "places from ids or persons alone; keyed randomness; requests not chosen by the models",
        "every shard is hit: then it costs a training",
        "each model sees one shard",
    ),
    "sums": (
        "the same model as of the other texts (counts: every number; ridge: 1e-10)",
        "models that are functions of sums over records",
        "vocabulary and features fixed beforehand; sums in double precision",
        "never",
        "such a model",
    ),
    "k-means": (
        "the same bits as clusters of the other texts",
        "clusters of features",
        "randomness keyed by ids and kept; limits of the grid fixed beforehand",
        "never; at worst a deletion is a fit",
        "rounded centroids, or those of centroids",
    ),
    "recorded gradients, and all that walks": (
        "nothing",
        "-",
        "-",
        "-",
        "notebooks 04 to 12, 16 and 19 measure what they do",
    ),
}


def table(measured: Mapping[str, str]) -> pd.DataFrame:
    """Return one row a guarantee: COLUMNS, and `measured`, which is given by name for those that were (else "not
    measured in this run"). UserError for a name that is no guarantee."""
    wrong = sorted(set(measured) - set(PROMISES))
    if wrong:
        raise UserError(f"no guarantee {wrong[0]!r}: {nearest(wrong[0], PROMISES)}")
    rows = pd.DataFrame.from_dict(PROMISES, orient="index", columns=list(COLUMNS)).rename_axis("guarantee")
    nothing = {name: "-" if row[0] == "nothing" else "not measured in this run" for name, row in PROMISES.items()}
    return rows.assign(measured=pd.Series({**nothing, **measured}))
