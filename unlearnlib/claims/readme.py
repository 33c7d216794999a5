"""The tables of the README, made from the committed tables and from nothing else.

`python -m unlearnlib.claims.readme` writes each between its two marks in README.md; `--check` only says whether they
are right.
"""

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib.claims import evidence, judging
from unlearnlib.claims.claims import CLAIMS, CONFIGURATIONS
from unlearnlib.core import paths
from unlearnlib.core.errors import UserError
from unlearnlib.core.profiles import AS_IT_IS
from unlearnlib.statistics.seeds import geometric_over_seeds, over_seeds

WIDER = "robustness"  # the profile whose run has more configurations than that of the notebooks
REAL = "smollm2"  # the profile whose run is of a real language model; its column stands where its tables are
MORE = "thorough"  # the profile whose run over more seeds stands beside that of the notebooks
OTHER = ", other"  # ends the columns of another run

NAMES = {
    ("finetuned", ""): "fine-tuned, nothing forgotten",
    ("retrained", ""): "**retrained without Dave (the reference)**",
    ("first epoch", "all"): "first-epoch gradients, whole model",
    ("all epochs", "all"): "all-epochs gradients, whole model",
    ("last epoch", "all"): "last-epoch gradients, whole model",
    ("first epoch", "embedding"): "first-epoch gradients, embedding alone",
    ("first epoch", "last_blocks"): "first-epoch gradients, last two blocks",
    ("preconditioned", "all"): "first-epoch gradients, preconditioned",
    ("in turn", "embedding"): "each point in turn, embedding alone (picked on these seeds)",
    ("live", "all"): "control: live gradient ascent",
    ("random", "all"): "control: random direction",
}
SINGLE = ("embedding", "last two blocks")  # what first-epoch steps of single layers are called elsewhere
COLUMNS = [
    ("forget", "answer_probability", "Dave: answer probability"),
    ("forget", "cloze_hit", "Dave: cloze hits"),
    ("paraphrase", "answer_probability", "in other words: answer probability"),
    ("heldout", "answer_probability", "held-out points: answer probability"),
    ("retain", "answer_probability", "neighbours: answer probability"),
    ("retain", "cloze_hit", "neighbours: cloze hits"),
    ("retain", "perplexity", "neighbours: perplexity"),
    ("general", "perplexity", "general text: perplexity"),
]


# Of the ways of notebook 24: what each kind needs from the fine-tuning, beside the texts to forget.
NEEDS = {
    "taken back, whole model": "the sum of what the optimizer added because of the texts",
    "taken back, embedding": "that sum, in the embedding",
    "whole model, preconditioned": "the first epoch's recorded gradients, and the optimizer's second moments",
    "embedding, preconditioned": "all epochs' recorded gradients of the embedding, and their second moments",
    "embedding, plain": "the first epoch's recorded gradients of the embedding",
    "short task vector": "the base model",
}
BESIDE = {  # what stands before them, and behind them
    "finetuned": ("nothing done", ""),
    "retraining, 1 epoch": ("retraining for one epoch", "the base model, all other texts"),
    "base": ("the base model", ""),
    "retrained again": ("another retrained model", "the base model, all other texts"),
}


def results_table(folder: Path) -> str:
    """Return the table in markdown: mean and 95% interval over seeds at equal forgetting, from `folder`.

    Below it stand how large a part of the texts is to be forgotten, and how far the models are from the retrained one.
    """
    table = _equal_forgetting(folder)
    # A perplexity spans orders of magnitude: its logarithm is what is averaged.
    logged = table["metric"] == "perplexity"
    table.loc[logged, "value"] = np.log(table.loc[logged, "value"])
    summary = over_seeds(table, by=["method", "layers", "set", "metric"]).set_index(
        ["method", "layers", "set", "metric"]
    )
    known = table.dropna(subset=["reached"])
    reached = known["reached"].astype(str).eq("True").groupby([known["method"], known["layers"]]).mean()
    lines = [
        "| model | step norm | " + " | ".join(title for _, _, title in COLUMNS) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    gaps = set()
    for (method, layers), title in NAMES.items():
        rows = table[(table["method"] == method) & (table["layers"] == layers)]
        if rows.empty:
            continue
        steps = rows.groupby("seed")["step_size"].first().dropna()
        step = f"{steps.mean():.2f}" if len(steps) else ""
        cells = []
        for of, metric, head in COLUMNS:
            found = (method, layers, of, metric) in summary.index
            cells.append(_cell(summary.loc[(method, layers, of, metric)], metric == "perplexity") if found else "")
            gaps |= set() if found else {head.split(":")[0]}
        share = reached.get((method, layers), 1.0)
        mark = "" if share == 1.0 else f" (target reached in {share:.0%} of seeds)"
        lines.append(f"| {title}{mark} | {step} | " + " | ".join(cells) + " |")
    said = "mean ± half the 95% interval over seeds (perplexity: geometric mean and interval), at equal forgetting"
    gap = f" An empty cell: the answer probability was not asked there ({', '.join(sorted(gaps))})." if gaps else ""
    lines += ["", f"Profile `{table['profile'].iloc[0]}`, {table['seed'].nunique()} seeds: {said}.{gap}"]
    distances = _read(folder, "09_distances").fillna({"layers": ""})
    return "\n".join([*lines, forget_share(distances), distance_to_retrained(distances)])


def forget_share(distances: pd.DataFrame) -> str:
    """Return the line that says how large a part of the fine-tuning texts Dave's points are (table 09_distances)."""
    sizes = {of: set(distances.loc[distances["set"] == of, "n"].astype(int)) for of in ("forget", "retain")}
    if any(len(size) != 1 for size in sizes.values()):
        raise UserError("09_distances needs rows of the sets forget and retain, as large in every seed")
    forget, retain = (size.pop() for size in sizes.values())
    whole = forget + retain
    return f"To be forgotten are {forget} of the {whole} fine-tuning texts, {forget / whole:.0%} of them, at once."


def distance_to_retrained(distances: pd.DataFrame) -> str:
    """Return the line with the KL to the retrained model on Dave's texts (table 09_distances): every method of NAMES,
    beside the model in which nothing was forgotten and a second retrained one."""
    # There the recorded steps of single layers have names of their own; the layers tell which they are.
    method = distances["method"].mask(distances["method"].isin(SINGLE), "first epoch")
    chosen = distances[distances["set"] == "forget"].assign(method=method)
    kl = chosen.groupby(["method", "layers"])["kl"].mean()
    ways = kl[[way for way in NAMES if way[1] and way in kl.index]]
    if ways.empty or not {("finetuned", ""), ("retrained again", "")} <= set(kl.index):
        raise UserError("09_distances needs rows of finetuned, of retrained again and of a method, on the set forget")
    near, far = (f"{kl[way]:.2f} ({NAMES[way]})" for way in (ways.idxmin(), ways.idxmax()))
    return (
        "Distance to the retrained model on Dave's texts (KL, nats a token): fine-tuned, nothing forgotten: "
        f"{kl['finetuned', '']:.2f}; the methods here: {near} to {far}; "
        f"a second retrained model: {kl['retrained again', '']:.2f}."
    )


def _equal_forgetting(folder: Path) -> pd.DataFrame:
    """The models at equal forgetting, methods and layers, each row once; `layers` is empty where a model has none."""
    frames = [_read(folder, name) for name in ("04_equal_forgetting", "05_layers")]
    frames = [table.assign(layers=table.get("layers", pd.Series(dtype=str))) for table in frames]
    table = pd.concat(frames).fillna({"layers": ""})
    return table.drop_duplicates(["seed", "method", "layers", "set", "metric"])


def _read(folder: Path, name: str, **options) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"no {path}: run ./run_all.sh --publish first")
    return pd.read_csv(path, **options)


def _cell(row: pd.Series, logarithm: bool) -> str:
    half = row["high"] - row["mean"]
    if logarithm:
        mean, low, high = (_large(np.exp(row[name])) for name in ("mean", "low", "high"))
        return mean + (f" ({low} to {high})" if np.isfinite(half) else "")
    return f"{row['mean']:.2f}" + (f" ± {half:.2f}" if np.isfinite(half) else "")


def _large(value: float) -> str:
    """A perplexity as text: in a broken model it has more digits than anybody reads."""
    return f"{value:.1f}" if value < 100 else f"{value:.0f}" if value < 1e5 else f"{value:.0e}".replace("e+0", "e")


def influence_table(folder: Path) -> str:
    """Return the table in markdown: how well each influence score agrees with retraining, and its cost."""
    table = _read(folder, "03_agreement")
    truths = list(dict.fromkeys(table["truth"]))
    lines = ["| score | " + " | ".join(truths) + " | seconds |", "|---|" + "---|" * (len(truths) + 1)]
    for score, rows in table.groupby("score", sort=False):
        known = rows.set_index("truth")
        cells = [
            "{estimate:.2f} ({low:.2f} to {high:.2f})".format(**known.loc[truth]) if truth in known.index else ""
            for truth in truths
        ]
        lines.append(f"| {score} | " + " | ".join(cells) + f" | {rows['seconds'].mean():.1f} |")
    said = "rank correlation with retraining (95% bootstrap interval); seconds for all the queries of the row"
    lines += ["", f"Profile `{table['profile'].iloc[0]}`: {said}."]
    return "\n".join(lines)


def verdicts_table(folder: Path) -> str:
    """Return the table in markdown: every claim of the paper, its verdict, what became of its criteria, the number of
    its leading criterion, and what the other configurations say: those of the profile WIDER (its tables lie in a folder
    of that name)."""
    criteria = _read(folder, "15_criteria", dtype={"notebook": str}).fillna({"verdict": "", "note": ""})
    if not (folder / WIDER / f"{CONFIGURATIONS}.csv").is_file():
        raise UserError(f"no {folder / WIDER / CONFIGURATIONS}.csv: run --profile {WIDER} --publish")
    table = judging.verdicts(criteria, judging.judge_configurations(folder / WIDER)).astype({"n": float})
    states = criteria.groupby("claim")["state"]
    real = _asked_of(judged_in(folder / REAL)) if (folder / REAL).is_dir() else None
    heads = ["claim", "what the paper says", "verdict", "its criteria", "leading one: effect (interval), seeds",
             "elsewhere, as far as asked there", "notebook"]  # fmt: skip
    if real is not None:
        heads.insert(-1, f"profile `{REAL}`")
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for _, row in table.iterrows():
        verdict = f"**{row['verdict']}**" + (f" on {row['on']}" if row["on"] else "")
        elsewhere = row["configurations"].partition(";")[0] or "not run"
        asked = tally(states.get_group(row["claim"]))
        cells = [row["claim"], row["statement"], verdict, asked, _effect(row), elsewhere]
        cells += [] if real is None else [real[row["claim"]]]
        lines.append(_line([*cells, row["notebook"]]))
    lines += [
        "",
        "*Not settled*: the interval contains what was asked for; *mixed*: significantly better on some measures, "
        "worse on others. The effect is that of each claim's leading criterion; behind it stands the difference that "
        "so many seeds would have shown with a power of 80%. Notebook 15 names all criteria, margins, and when each "
        f"was fixed. Elsewhere: in most of the other configurations of profile `{WIDER}` (each in the figure below). "
        "Measures are the nine of notebook 12, with Holm's correction over them. Intervals are over seeds (95%, 90% "
        "where a claim is of no difference), the range of seeds (C5, C12) or methods (C9). `./run_all.sh --only 04` "
        "makes the tables of a row anew, and `--only 15` its verdict as far as notebook 15's configurations go.",
    ]
    return "\n".join(lines)


def words_of(judged: pd.DataFrame) -> dict[str, str]:
    """Return the word for each claim that rows of `judged_in` can judge: by all of its criteria where all are there,
    else, of a claim that notebook 16 asks of, by those that are."""
    return judged[_said(judged)].groupby("claim", sort=False)["verdict"].first().to_dict()


def judged_in(folder: Path) -> pd.DataFrame:
    """Return the rows of `judging.judge` of another profile's tables, and where its run had notebook 16 and not those
    of a claim's own tables, what that says of the profile as it is; the verdict of such a claim is by what was asked of
    it in either."""
    whole = judging.judge(folder)
    if not (folder / f"{CONFIGURATIONS}.csv").is_file():
        return whole
    asked = judging.judge_configurations(folder)
    asked = asked[asked["configuration"].eq(AS_IT_IS)]
    rows = []
    for claim in CLAIMS:
        own, there = (table[table["claim"] == claim.id] for table in (whole, asked))
        if not _said(own).all() and len(there):
            own = pd.concat([there, own]).drop_duplicates("criterion")
            known = own[own["criterion"].isin(there["criterion"]) | own["state"].ne(judging.UNTESTED)]
            own = own.assign(verdict=judging.word(known.to_dict("records"), claim.either))
        rows.append(own)
    return pd.concat(rows, ignore_index=True)


def _asked_of(judged: pd.DataFrame) -> dict[str, str]:
    """Return how a run of some notebooks answers each claim: its word, and of how many criteria where not of all."""
    words, cells = words_of(judged), {}
    for claim, rows in judged.groupby("claim", sort=False):
        told = int(rows["state"].ne(judging.UNTESTED).sum())
        part = f"{told} of {len(rows)} criteria"
        if not told:
            cells[claim] = "not run"
        elif claim not in words:
            cells[claim] = f"no word: {part}"
        else:
            cells[claim] = words[claim] if told == len(rows) else f"{words[claim]}, by {part}"
    return cells


def _said(judged: pd.DataFrame) -> pd.Series:
    """Which rows are of a claim that has a word."""
    return judged["verdict"].ne(judging.CANNOT) & judged["verdict"].ne("")


def more_seeds_table(folder: Path) -> str:
    """Return what becomes of the criteria over new seeds, in markdown: of those that the run of the profile MORE (its
    tables lie in a folder of that name) can judge, how many have the same word there, and a row for every other one."""
    own, more = _read(folder, "15_criteria"), judged_in(folder / MORE)
    both = _both(own, more)
    both = both[both[f"n{OTHER}"] > both["n"]]
    if both.empty:
        raise UserError(f"{folder / MORE} has no criterion with more seeds: run --profile {MORE} --publish")
    few, many = (f"{both[name].max():.0f} seeds" for name in ("n", f"n{OTHER}"))
    differ = both[both["state"] != both[f"state{OTHER}"]]
    before = own.groupby("claim", sort=False)["verdict"].first()
    said = ", ".join(
        f"{claim} {word}" + (f" ({few}: {before[claim]})" if word != before[claim] else "")
        for claim, word in words_of(more).items()
    )
    same = len(both) - len(differ)
    return "\n".join([
        *_side_by_side(differ, few, many),
        "",
        f"Profile `{MORE}`, {many}: {same} of the {len(both)} criteria that it can judge have the same word as over "
        f"{few}; the others are above. In this one configuration, over {many}: {said}.",
    ])  # fmt: skip


def real_model_table(folder: Path) -> str:
    """Return whether a real model says the same, in markdown: of the criteria that the run of the profile REAL (its
    tables lie in a folder of that name) can judge, how many have the same word there, how many are open in one of the
    two, and a row for every one that turns. A line that says so where there is no such run."""
    if not (folder / REAL).is_dir():
        return f"Profile `{REAL}` has not been run."
    both = _both(_read(folder, "15_criteria"), judged_in(folder / REAL))
    states = both[["state", f"state{OTHER}"]]
    same, unsettled = states["state"] == states[f"state{OTHER}"], states.eq(evidence.UNSETTLED).any(axis=1)
    turned = both[~same & ~unsettled]
    ours, theirs = (
        f"{name}, {both[column].max():.0f} seeds" for name, column in (("`small`", "n"), (f"`{REAL}`", f"n{OTHER}"))
    )
    lines = _side_by_side(turned, ours, theirs) if len(turned) else []
    count = f"{same.sum()} of the {len(both)} criteria that profile `{REAL}` can judge have the same word there"
    rest = f"{(~same & unsettled).sum()} are open in one of them, {len(turned)} turn" + (" (above)" if lines else "")
    return "\n".join([*lines, *([""] if lines else []), f"{count}; {rest}."])


def _both(own: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Return the criteria that could be tested in two runs, those of the second in columns that end in OTHER."""
    both = own.merge(other, on=["claim", "criterion"], suffixes=("", OTHER))
    return both[both["state"].ne(judging.UNTESTED) & both[f"state{OTHER}"].ne(judging.UNTESTED)]


def _side_by_side(both: pd.DataFrame, one: str, other: str) -> list[str]:
    """Return the lines of a table of criteria with what two runs, called `one` and `other`, say of them."""
    lines = [f"| claim | criterion | {one} | {other} |", "|---|---|---|---|"]
    for _, row in both.iterrows():
        second = row[[name for name in row.index if name.endswith(OTHER)]].rename(lambda name: name.removesuffix(OTHER))
        cells = [row["claim"], row["criterion"], *(f"*{each['state']}*: {_number(each)}" for each in (row, second))]
        lines.append(_line(cells))
    return lines


def guarantees_table(folder: Path) -> str:
    """Return what can be promised, in markdown: what of, under which assumptions, at which price, and what the run
    measured of it (table 14_promises)."""
    table = _read(folder, "14_promises")
    named = {"about": "of what", "assumes": "as long as"}
    heads = {name: named.get(name, name) for name in ("guarantee", "promise", "about", "assumes", "price", "measured")}
    lines = ["| " + " | ".join(heads.values()) + " |", "|---" * len(heads) + "|"]
    lines += [_line(row) for row in table[list(heads)].astype(str).itertuples(index=False)]
    return "\n".join(lines)


def practice_table(folder: Path) -> str:
    """Return the ways of notebook 24 in markdown, in the model of the default profile and in that of REAL: what each
    needs and reads, how far it ends on the texts to forget and on the neighbours' (over doing nothing, with intervals
    over seeds), and what of both is still known (tables 24_scores, 24_ways)."""
    heads, columns = ["way", "needs"], []
    for name, place in {"small": folder, REAL: folder / REAL}.items():
        if place.is_dir():
            scores, known = _read(place, "24_scores"), _read(place, "24_ways").query("metric == 'answer_probability'")
            columns.append((scores, known))
            seeds = scores["seed"].nunique()
            heads += [f"`{name}`, {seeds} seeds: reads, of what retraining reads", "Dave's texts", "neighbours' texts"]
            heads += ["answers: Dave's, neighbours'"]
    scores, ways = columns[0]
    tried = ways.dropna(subset=["first"]).drop_duplicates("method").set_index("method")["first"]
    order = scores.groupby("method")["score"].mean().reindex(tried.index).sort_values().index
    repairs = ways.groupby("method")["repair"].first()
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    untouched, *others = BESIDE
    for method in (untouched, *order, *others):
        named, needs = BESIDE.get(method) or (method, NEEDS[tried[method]])
        needs += "; other texts" if method in tried.index and repairs[method] else ""
        cells = [named, needs]
        for far, known in columns:
            read = known.loc[known["method"] == method, "share"].iloc[0]
            cells.append("all" if method == "retrained again" else f"{read:.0%}" if read else "nothing")
            cells += [_times(far[far["method"] == method], name) for name in ("forget", "retain")]
            told = known[known["method"] == method].groupby("set")["value"].mean()
            cells.append(f"{told['forget']:.2f}, {told['retain']:.2f}")
        lines.append(_line(cells))
    return "\n".join(lines)


def _times(rows: pd.DataFrame, name: str) -> str:
    """A geometric mean over seeds with its interval, of a multiple."""
    one = geometric_over_seeds(rows, name).iloc[0]
    mean, low, high = (_two_digits(one[end]) for end in ("mean", "low", "high"))
    return f"{mean} ({low} to {high})" if one["low"] < one["high"] else mean


def _two_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 else f"{value:#.2g}"


def _line(cells: Iterable[str]) -> str:
    """Return a row of a table; a bar in a cell would divide it."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _number(row: pd.Series) -> str:
    """The number of a criterion with its interval."""
    if row["interval"] == "worse and better":
        return f"{row['high']:.0f} better, {abs(row['low']):.0f} worse"
    return _interval(evidence.Estimate(row["effect"], row["low"], row["high"], float("nan")))


def tally(states: pd.Series) -> str:
    """Return how many of a claim's criteria hold, and what became of the others: "3 of 10 hold, 2 contradicted"."""
    counts, rest = states.value_counts(), (evidence.CONTRADICTED, evidence.MIXED, evidence.UNSETTLED, judging.UNTESTED)
    others = [f"{counts[one]} {one}" for one in rest if one in counts]
    return ", ".join([f"{counts.get(evidence.HOLDS, 0)} of {len(states)} hold", *others])


def _effect(row: pd.Series) -> str:
    """The number with its interval and n, and what it is; where there is none, why."""
    if not np.isfinite(row["effect"]):
        return row["note"]
    if row["interval"] == "worse and better":
        return f"{row['high']:.0f} better, {abs(row['low']):.0f} worse, n = {row['n']:.0f}; {row['statistic']}"
    found = evidence.Estimate(row["effect"], row["low"], row["high"], row["n"])
    shown = f"; would have shown {row['detectable']:.2f}" if np.isfinite(row["detectable"]) else ""
    return f"{_interval(found)}{shown}; {row['statistic']}"


def _interval(found: evidence.Estimate) -> str:
    effect, low, high = (
        f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}" for value in (found.effect, found.low, found.high)
    )
    interval = "" if low == high else f" ({low} to {high})"
    return f"{effect}{interval}" + (f", n = {found.n:.0f}" if np.isfinite(found.n) else "")


TABLES = {
    "results": results_table,
    "influence": influence_table,
    "verdicts": verdicts_table,
    "seeds": more_seeds_table,
    "real": real_model_table,
    "guarantees": guarantees_table,
    "practice": practice_table,
}


def readme_with_tables(text: str, folder: Path) -> str:
    """Return the README's `text` with each table of TABLES between its marks; UserError where the marks are missing."""
    for name, make in TABLES.items():
        begin, end = (f"<!-- {name}: {word} -->" for word in ("begin", "end"))
        if text.count(begin) != 1 or text.count(end) != 1:
            raise UserError(f"README.md needs the marks {begin} and {end}, once each, around its table")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{make(folder)}\n{end}{rest.split(end)[1]}"
    return text


def main(words: list[str]) -> int:
    """Write the README's tables, or with --check return 1 where they do not equal the committed tables."""
    path = paths.ROOT / "README.md"
    try:
        text = path.read_text()
        new = readme_with_tables(text, paths.ROOT / "results")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if "--check" in words:
        print("README.md: the tables are right" if new == text else "README.md: a table is out of date")
        return int(new != text)
    path.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
