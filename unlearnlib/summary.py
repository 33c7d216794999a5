"""The tables of the README, made from the committed tables and from nothing else.

`python -m unlearnlib.summary` writes each between its two marks in README.md; `--check` only says whether they are
right.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from unlearnlib import paths
from unlearnlib.errors import UserError
from unlearnlib.statistics import over_seeds

NAMES = {
    ("finetuned", ""): "fine-tuned, nothing forgotten",
    ("retrained", ""): "**retrained without Dave (the reference)**",
    ("first epoch", "all"): "first-epoch gradients, whole model",
    ("all epochs", "all"): "all-epochs gradients, whole model",
    ("last epoch", "all"): "last-epoch gradients, whole model",
    ("first epoch", "embedding"): "first-epoch gradients, embedding alone",
    ("first epoch", "h.10+h.11"): "first-epoch gradients, blocks 11 and 12",
    ("preconditioned", "all"): "first-epoch gradients, preconditioned",
    ("live", "all"): "control: live gradient ascent",
    ("random", "all"): "control: random direction",
}
COLUMNS = [
    ("forget", "answer_probability", "Dave: answer probability"),
    ("forget", "cloze_hit", "Dave: cloze hits"),
    ("paraphrase", "answer_probability", "in other words: answer probability"),
    ("retain", "answer_probability", "neighbours: answer probability"),
    ("general", "perplexity", "general text: perplexity"),
]


def results_table(folder: Path) -> str:
    """Return the table in markdown: mean and 95% interval over seeds at equal forgetting, from `folder`."""
    frames = []
    for name in ("04_equal_forgetting", "05_layers"):
        frames.append(
            _read(folder, name).assign(layers=lambda table: table.get("layers", pd.Series(dtype=str)).fillna(""))
        )
    table = pd.concat(frames).drop_duplicates(["seed", "method", "layers", "set", "metric"])
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
    for (method, layers), title in NAMES.items():
        rows = table[(table["method"] == method) & (table["layers"] == layers)]
        if rows.empty:
            continue
        steps = rows.groupby("seed")["step_size"].first().dropna()
        step = f"{steps.mean():.2f}" if len(steps) else ""
        cells = [
            _cell(summary.loc[(method, layers, *column[:2])], column[1] == "perplexity")
            if (method, layers, *column[:2]) in summary.index
            else ""
            for column in COLUMNS
        ]
        share = reached.get((method, layers), 1.0)
        mark = "" if share == 1.0 else f" (target reached in {share:.0%} of seeds)"
        lines.append(f"| {title}{mark} | {step} | " + " | ".join(cells) + " |")
    seeds = table["seed"].nunique()
    profile = table["profile"].iloc[0]
    lines += ["", f"Profile `{profile}`, {seeds} seeds: mean ± half the 95% interval over seeds, at equal forgetting."]
    return "\n".join(lines)


def _read(folder: Path, name: str, **options) -> pd.DataFrame:
    path = folder / f"{name}.csv"
    if not path.is_file():
        raise UserError(f"no {path}: run ./run_all.sh --publish first")
    return pd.read_csv(path, **options)


def _cell(row: pd.Series, logarithm: bool) -> str:
    if logarithm:
        return f"{np.exp(row['mean']):.1f} ({np.exp(row['low']):.1f} to {np.exp(row['high']):.1f})"
    half = row["high"] - row["mean"]
    return f"{row['mean']:.2f}" + (f" ± {half:.2f}" if np.isfinite(half) else "")


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
    """Return the table in markdown: every claim of the paper, its verdict, and the number of its leading criterion."""
    table = _read(folder, "15_verdicts", dtype={"notebook": str, "note": str}).fillna({"note": ""})
    lines = ["| claim | what the paper says | verdict | effect (interval), seeds | notebook |", "|---|---|---|---|---|"]
    for _, row in table.iterrows():
        cells = [row["claim"], row["statement"], f"**{row['verdict']}**", _effect(row), row["notebook"]]
        # A bar in a cell would divide it.
        lines.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    lines += [
        "",
        "The effect is that of each claim's leading criterion; notebook 15 has all of them and the margins. Intervals",
        "are over seeds (95%, or 90% where a claim is of no difference), the range of seeds (C5, C12) or methods (C9).",
        "`./run_all.sh --only 04` makes the tables of a row anew, and `--only 15` its verdict.",
    ]
    return "\n".join(lines)


def _effect(row: pd.Series) -> str:
    """The number with its interval and n, and what it is; where there is none, why."""
    if not np.isfinite(row["effect"]):
        return row["note"]
    effect, low, high = (
        f"{value:.2f}" if abs(value) < 100 else f"{value:.0f}" for value in row[["effect", "low", "high"]]
    )
    interval = "" if low == high else f" ({low} to {high})"
    seeds = f", n = {row['n']:.0f}" if np.isfinite(row["n"]) else ""
    return f"{effect}{interval}{seeds}; {row['statistic']}"


TABLES = {"results": results_table, "influence": influence_table, "verdicts": verdicts_table}


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
