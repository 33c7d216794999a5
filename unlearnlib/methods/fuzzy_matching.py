"""Fuzzy matching: which trained texts are like a query, and one ascent along their gradients (Zagardo 2024, E6)."""

from collections.abc import Mapping, Sequence

import pandas as pd
from rapidfuzz import fuzz

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.records import name_words
from unlearnlib.data.split import Split
from unlearnlib.methods.path import Path
from unlearnlib.methods.present import straight_from
from unlearnlib.methods.request import Request

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


def fuzzy_ascent(
    request: Request, query: str, layers: str = "all", scorer: str = "partial_ratio", threshold: float = 60.0
) -> Path:
    """Return the path along the summed gradient, at the weights to start from, of the trained texts that a query picks.

    Gradients were recorded for the forget set alone, and a query also picks other people's texts (see picked).
    """
    tokens = {**request.forget, **request.retain}
    names = picked(query, request.texts, scorer, threshold)
    return straight_from(request, [tokens[name] for name in names], layers)


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
