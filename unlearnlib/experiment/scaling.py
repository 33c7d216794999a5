"""What costs grow with: laws of the model's size, the number of texts and their length, from measured rows.

The rows are those of benchmarks/scaling.py, which says what each operation does. Laws are of logarithms (see
unlearnlib.statistics.laws); what shapes alone decide, such as the numbers in a gradient, is counted and not fitted.
"""

import itertools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.experiment.fine_tuning import factor_count
from unlearnlib.gradients.capture import leaf_modules
from unlearnlib.models import shapes
from unlearnlib.models.layers import parameter_count
from unlearnlib.statistics.laws import Law, crossing, power_law

SCRIPT = paths.ROOT / "benchmarks" / "scaling.py"
TABLE = SCRIPT.with_suffix(".csv")
BASE = {"texts": 16, "tokens": 32}  # where the three axes meet
AXES = ("parameters", *BASE)
BYTES = 4  # of a number in float32
LARGER = ("1.5B", "7B")
BARE = ("product, square", "products, model's shapes")  # what others are held against: no cost of unlearning
KEPT = ("kept, points", "kept, sums", "kept, points of the embedding", "kept, sums of the embedding")
COSTS = (
    "training", "training, points recorded", "unlearning, recorded step", "unlearning, ten points", "evaluation"
)  # fmt: skip
WAYS = ("gradients, naive loop", "gradients, dense", "gradients, layer by layer", "gradients, factors")
# The panels of a figure: the name of the vertical axis, the column, and whose numbers are drawn.
PANELS = {
    "CPU time (seconds)": ("cpu_seconds", COSTS),
    "peak memory (bytes)": ("peak_bytes", COSTS),
    "stored (bytes)": ("stored_bytes", KEPT),
}
PANELS_OF_WAYS = {name: (column, WAYS) for name, (column, whose) in PANELS.items() if whose is COSTS}


def measured(table: Path | str = TABLE) -> pd.DataFrame:
    """Return the rows that were measured on one machine: that of which there are most.

    Columns: machine, model, family, parameters, texts, tokens, operation; repeats, cpu_seconds (median; least, most)
    and wall_seconds; peak_bytes beyond held_bytes; stored_bytes; flops; load. `table` is the file to read, a
    relative one from the repository's folder. UserError where there is none.
    """
    table = paths.ROOT / table
    if not table.is_file():
        raise UserError(f"no table {table.name} of measured costs: run `python benchmarks/scaling.py` first")
    rows = pd.read_csv(table)
    return rows[rows["machine"] == rows["machine"].mode()[0]].reset_index(drop=True)


def measured_anew(folder: Path) -> pd.DataFrame:
    """Measure three small models on this machine, which takes about a minute, and return the rows (see measured).

    The table lies in `folder`; what is there of this machine is not measured again. UserError where it fails.
    """
    table = folder / "scaling-quick.csv"
    words = [sys.executable, str(SCRIPT), "--quick", "--table", str(table)]
    known = {**os.environ, "PYTHONPATH": str(paths.ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=known, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"measuring failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return measured(table)


def along(table: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Return the rows on one axis (parameters, texts or tokens), the others being as in BASE, with its value as the
    column x, sorted by it; of the axes texts and tokens, of models that have two values of it at least."""
    if axis not in AXES:
        raise UserError(f"no axis {axis!r}: {nearest(axis, AXES)}")
    for other, value in BASE.items():
        if other != axis:
            table = table[table[other] == value]
    if axis != "parameters":
        table = table[table.groupby("model")[axis].transform("nunique") > 1]
    return table.assign(x=table[axis].astype(float)).sort_values("x", kind="stable")


def drawn(table: pd.DataFrame, axis: str, panels: Mapping[str, tuple] = PANELS) -> pd.DataFrame:
    """Return the rows along an axis as unlearnlib.figures.scaling.growth draws them: columns panel, name (the
    operation), line (the model, where the axis is not that of models), x and value."""
    rows, parts = along(table, axis), []
    for panel, (column, names) in panels.items():
        part = rows[rows["operation"].isin(names)]
        part = part.assign(panel=panel, name=part["operation"], value=part[column])
        parts.append(part.assign(line="" if axis == "parameters" else part["model"]))
    found = pd.concat(parts)[["panel", "name", "line", "x", "value"]]
    order = {name: number for number, name in enumerate((*COSTS, *WAYS, *KEPT))}
    return found.sort_values("name", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def law(table: pd.DataFrame, axis: str, operation: str, value: str = "cpu_seconds", model: str | None = None) -> Law:
    """Return the law of one operation's `value` along an axis, of one model where the axis is not that of models.

    Numbers that are not above zero (memory below what can be told) take no part. UserError for an operation that was
    not measured, and for fewer than two points.
    """
    rows = along(table, axis)
    if operation not in set(rows["operation"]):
        raise UserError(f"no operation {operation!r} along {axis}: {nearest(operation, rows['operation'].unique())}")
    rows = rows[(rows["operation"] == operation) & (rows[value] > 0)]
    rows = rows if model is None else rows[rows["model"] == model]
    return power_law(rows["x"], rows[value])


def laws(table: pd.DataFrame, axis: str, value: str = "cpu_seconds") -> pd.DataFrame:
    """Return one row an operation (and, along texts and tokens, a model): exponent with its 95% interval, low and high;
    n, the number of points; start and end of what was measured. Operations with fewer than two points and bare matrix
    products are left out."""
    rows = along(table, axis)
    rows = rows[(rows[value] > 0) & ~rows["operation"].isin(BARE)]
    by = ["operation"] if axis == "parameters" else ["operation", "model"]
    found = []
    for key, part in rows.groupby(by, sort=False):
        if part["x"].nunique() > 1:
            fit = power_law(part["x"], part[value])
            found.append((*key, fit.exponent, fit.low, fit.high, fit.n, fit.first, fit.last))
    return pd.DataFrame(found, columns=[*by, "exponent", "low", "high", "n", "start", "end"])


def predictions(table: pd.DataFrame, value: str = "cpu_seconds", names: Sequence[str] = LARGER) -> pd.DataFrame:
    """Return what the laws of the model's size say of larger models: one row an operation and model, with value, its
    95% prediction interval (least, most); proportional, what the largest measured model would say alone if cost were
    proportional to parameters; and beyond, how many times larger than that model it is.

    An extrapolation: the interval holds if the law does. A cost is work and overhead; where overhead counts in the
    small models, the law is too flat, and `proportional` is the larger.
    """
    rows, counts, found = along(table, "parameters"), {name: parameters(name) for name in names}, []
    rows = rows[rows[value] > 0]
    for operation in laws(table, "parameters", value)["operation"]:
        fit, last = law(table, "parameters", operation, value), rows[rows["operation"] == operation].iloc[-1]
        said = fit.at(list(counts.values())).itertuples()
        for name, one in zip(counts, said, strict=True):
            times = one.x / last["x"]
            found.append((operation, name, one.value, one.least, one.most, times * last[value], times))
    return pd.DataFrame(found, columns=["operation", "model", "value", "least", "most", "proportional", "beyond"])


def held_out(table: pd.DataFrame, value: str = "cpu_seconds") -> pd.DataFrame:
    """Return how well the smaller models foretell the largest: the law without it, asked for it. One row an operation:
    predicted with its 95% prediction interval (least, most), measured, ratio (measured over predicted) and inside,
    which is None where two models are left, through which a line has no interval."""
    rows = along(table, "parameters")
    largest, found = rows["x"].max(), []
    rows = rows[(rows[value] > 0) & ~rows["operation"].isin(BARE)]
    for operation, part in rows.groupby("operation", sort=False):
        known, there = part[part["x"] < largest], part[part["x"] == largest]
        if known["x"].nunique() > 1 and len(there):
            said = power_law(known["x"], known[value]).at(largest).iloc[0]
            truth = float(there[value].iloc[0])
            inside = bool(said["least"] <= truth <= said["most"]) if said[["least", "most"]].notna().all() else None
            found.append((operation, said["value"], said["least"], said["most"], truth, truth / said["value"], inside))
    return pd.DataFrame(found, columns=["operation", "predicted", "least", "most", "measured", "ratio", "inside"])


def ratios(table: pd.DataFrame, axis: str, reference: str, value: str = "cpu_seconds") -> pd.DataFrame:
    """Return every operation's `value` as a multiple of the reference's, one row an operation and one column a place on
    the axis: model and x, or the model alone on the axis of models."""
    rows = along(table, axis)
    wide = rows[rows[value] > 0].pivot_table(
        index="operation", columns=["parameters", "model", "x"], values=value, sort=False
    )
    if reference not in wide.index:
        raise UserError(f"no operation {reference!r} along {axis}: {nearest(reference, wide.index)}")
    wide = wide.sort_index(axis="columns").droplevel("parameters", axis="columns")
    wide = wide.droplevel("x", axis="columns") if axis == "parameters" else wide
    return wide / wide.loc[reference]


def overtaking(
    table: pd.DataFrame, axis: str, value: str = "cpu_seconds", operations: Sequence[str] = WAYS
) -> pd.DataFrame:
    """Return where one operation comes to cost as much as another along an axis, between measured places: one row a
    pair (and, along texts and tokens, a model), with less, which costs less at the first place, more, and until, the x
    from which it is no longer so (NaN: it stays so up to `end`, the last place where both were measured)."""
    rows, found = along(table, axis), []
    rows = rows[rows["operation"].isin(operations) & (rows[value] > 0)]
    for line, part in rows.groupby("model" if axis != "parameters" else "machine", sort=False):
        wide = part.pivot_table(index="x", columns="operation", values=value)
        for one, other in itertools.combinations([name for name in operations if name in wide.columns], 2):
            both = wide[[one, other]].dropna()
            if both.empty:
                continue
            less, more = both.iloc[0].sort_values(kind="stable").index
            until = crossing(both.index, both[less], both[more])
            found.append(("all" if axis == "parameters" else line, less, more, until, both.index[-1]))
    return pd.DataFrame(found, columns=["model", "less", "more", "until", "end"])


def rates(table: pd.DataFrame) -> pd.DataFrame:
    """Return, by model, how fast a training step is beside bare matrix products: training, square and shapes in
    floating-point operations a second (square: of a large product; shapes: of those of the model's own layers), and
    of_square and of_shapes, the share of these that a training step comes to.

    A step counts as 6 operations for each parameter and token: attention's own products, normalisations and the
    optimizer's update are left out, and the input table, which is looked up, is counted once more than it should be
    where it is not the output layer too.
    """
    names = {"training": "training", "product, square": "square", "products, model's shapes": "shapes"}
    rows = along(table, "parameters")
    rows = rows[rows["operation"].isin(names)].assign(rate=lambda part: part["flops"] / part["cpu_seconds"])
    wide = rows.pivot_table(index=["model", "parameters"], columns="operation", values="rate", sort=False)
    wide = wide.rename(columns=names)[list(names.values())].rename_axis(columns=None).reset_index()
    return wide.assign(of_square=wide["training"] / wide["square"], of_shapes=wide["training"] / wide["shapes"])


def parameters(name: str) -> int:
    """Return how many parameters a model of unlearnlib.models.shapes has, tied weights once."""
    return parameter_count(shapes.build(name, "meta"))


def counted(names: Sequence[str], tokens: int = BASE["tokens"]) -> pd.DataFrame:
    """Return what shapes alone decide, one row a model, nothing of it measured: parameters; dense_bytes of a gradient;
    factor_bytes of the exact gradient of one text of so many tokens (numbers of 4 bytes); and where ways cross over:

    tokens: the length of a text from which its factors take more numbers than its dense gradient; points: the number
    of texts of `tokens` tokens from which the factors of each take more than one dense sum of all; together: the number
    of texts from which making all their gradients of one layer at a time holds more numbers at once (the largest
    layer's) than a whole gradient.
    """
    rows = []
    for name in names:
        model = shapes.build(name, "meta")
        dense, some, more = parameter_count(model), *(factor_count(model, count) for count in (tokens, tokens + 1))
        longest = tokens + (dense - some) / (more - some)  # a text's factors grow by as much with every token
        largest = max(value.numel() for value in model.parameters())
        rows.append((name, dense, BYTES * dense, BYTES * some, longest, dense / some, dense / largest))
    kinds = ["parameters", "dense_bytes", "factor_bytes", "tokens", "points", "together"]
    return pd.DataFrame(rows, columns=["model", *kinds])


def layers(name: str) -> pd.DataFrame:
    """Return the kinds of linear layers of a model: columns inputs, outputs, count, and tokens, the length of a text
    from which its factors, tokens - 1 rows of inputs + outputs numbers, take more than inputs x outputs."""
    linear = [one for one in leaf_modules(shapes.build(name, "meta")).values() if type(one) is torch.nn.Linear]
    table = pd.DataFrame([(one.in_features, one.out_features) for one in linear], columns=["inputs", "outputs"])
    table = table.value_counts(sort=False).rename("count").reset_index()
    return table.assign(tokens=1 + table["inputs"] * table["outputs"] / (table["inputs"] + table["outputs"]))


def kept_by_length(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measured bytes of one text's factors along the axis of lengths: columns model, parameters, x (tokens),
    value (bytes a text in the file of all points) and dense (bytes of its dense gradient)."""
    rows = along(table, "tokens")
    rows = rows[rows["operation"] == "kept, points"]
    value, dense = rows["stored_bytes"] / rows["texts"], BYTES * rows["parameters"]
    return rows[["model", "parameters", "x"]].assign(value=value, dense=dense).reset_index(drop=True)


def crossovers(table: pd.DataFrame) -> pd.DataFrame:
    """Return where factors come to take as much as the dense gradient, by what was measured and by counting shapes, of
    every model on the axis of lengths: columns model, measured and counted (tokens), and longest, the longest texts
    that were measured. `measured` is NaN where it is beyond these."""
    found = []
    for model, part in kept_by_length(table).groupby("model", sort=False):
        at = crossing(part["x"], part["value"], part["dense"])
        found.append((model, at, counted([model])["tokens"].iloc[0], part["x"].max()))
    return pd.DataFrame(found, columns=["model", "measured", "counted", "longest"])
