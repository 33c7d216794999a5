"""The literature's benchmarks, asked what the study asks of its own data: which recorded step, where, and how near.

Beside the study's measures stand the benchmark's own, where it has questions with wrong answers: TOFU's scores.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import batches, encoding
from unlearnlib.data.examples import Examples
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import applications, before_after, own_way, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.own import BASE, REFERENCE, START, Own, digest
from unlearnlib.experiment.own_way import REPAIRED, UNLEARNED, End
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import tofu
from unlearnlib.measures import truth_ratio as ratios
from unlearnlib.methods.equal_forgetting import Calibration
from unlearnlib.statistics.seeds import geometric_over_seeds, ratio_interval

# Steps from what training left: a method's name, the layers, the epochs whose gradients are taken.
STEPS = {
    "first epoch, whole model": ("recorded", "all", "first"),
    "all epochs, whole model": ("recorded", "all", "all"),
    "first epoch, embedding": ("recorded", "embedding", "first"),
    "all epochs, embedding": ("recorded", "embedding", "all"),
    "embedding, preconditioned": ("preconditioned", "embedding", "all"),
}
RECOMMENDED, PRACTICAL = "embedding, preconditioned", "taken back, whole model, 1.25, repaired"
# What is repaired: which step, how much of it, and with how many optimizer steps.
MENDED = {"embedding, preconditioned, repaired": (RECOMMENDED, 1.0, 7)}
# What notebook 24 recommends, for which the training is taken once more, and watched.
WATCHED = {"taken back, whole model": ("taken back", "all", "all")}
WATCHED_MENDED = {PRACTICAL: ("taken back, whole model", 1.25, 4)}  # there to a stop by answers, here by texts
NOTHING, AGAIN, SHORT = "nothing done", "retrained again", "retraining, 1 epoch"
MODELS = {NOTHING: START, REFERENCE: REFERENCE, "base model": BASE}
ANOTHER = 1000  # added to the seed of the other retrained model
SCORED = {"forget_perturbed": "forget", "retain_perturbed": "retain"} | {name: name for name in tofu.AMONG_OPTIONS}


def opened(experiment: Experiment, benchmark: Benchmark, longest: int = applications.LONGEST) -> Own:
    """Return the texts of a benchmark as somebody's own, trained on with the profile's epochs, batches and rate. A
    question's text is its prompt, a space and the answer; what is held out is never read, and where nothing is, a fifth
    of what is to be kept. UserError, with file and row, for a text of more than `longest` tokens."""
    for item in (*benchmark.forget, *benchmark.retain, *benchmark.heldout):
        count = len(batches.encode_text(experiment.tokenizer, _text(item)))
        if count > longest:
            most = experiment.tokenizer.model_max_length
            raise UserError(f"{item.at or item.id}: {count} tokens, longest is {longest}: raise it, up to {most}")
    sets = ({one.id: _text(one) for one in items} for items in (benchmark.forget, benchmark.retain, benchmark.heldout))
    return applications.opened(experiment, *sets, longest=longest)


def _text(one: Item) -> str:
    return one.text if one.kind == "text" else f"{encoding.prompt(one)} {one.answer}"


def _again(experiment: Experiment, mine: Own) -> Own:
    """Return the same texts, kept and unread as in `mine`, with the order of another seed."""
    other = Experiment(experiment.profile, experiment.seed + ANOTHER)
    sets = ({one.id: one.text for one in group} for group in (mine.forget, mine.keep, mine.unseen))
    return applications.opened(other, *sets, longest=mine.given.max_tokens)


def measured(
    experiment: Experiment,
    benchmark: Benchmark,
    longest: int = applications.LONGEST,
    asked: int = 30,
    most: int = 120,
    practical: bool = True,
) -> pd.DataFrame:
    """Return what every model and step says (cached): rows method, set, example, metric, value; of what notebook 24
    recommends (WATCHED, WATCHED_MENDED) only where `practical`, for it costs one training more.

    Of the texts to forget, to keep, and never read (unseen; of these two so many as `most`, drawn by the seed):
    text_nll, text_tokens, exact_memorization, and kl to the retrained model (nats a token). Of each of the benchmark's
    probes with wrong answers (of those that are not about what is to be forgotten so many as `asked`, drawn by the
    seed): probability, rouge, truth_ratio (see unlearnlib.measures.tofu.scores) and ratio, the truth ratio itself. Of
    each step, with an empty set: effort, and reached, whether the texts to forget became as improbable as the retrained
    model finds them.
    """
    key = {
        "benchmark": digest(asdict(benchmark)),
        "base": trained.base_fingerprint(experiment.profile.base_model),
        "of": {name: getattr(experiment.profile, name) for name in ("epochs", "batch_size", "learning_rate", "device")},
        "longest": longest,
        "asked": asked,
        "most": most,
        "batch": experiment.profile.evaluation_batch,
    }

    frames, parts = [], [(STEPS, MENDED, True)]
    if practical:
        parts.append((WATCHED, WATCHED_MENDED, False))
    for steps, mended, beside in parts:

        def compute(steps: Mapping = steps, mended: Mapping = mended, beside: bool = beside) -> pd.DataFrame:
            mine = opened(experiment, benchmark, longest)
            sets, probes = _texts(mine, experiment.seed, most), _probes(benchmark, experiment.seed, asked)
            return _of_ways(experiment, mine, sets, probes, steps, mended, beside)

        of = {**key, "steps": [*steps], "mended": [*mended], "beside": beside}
        frames.append(experiment.table("other_data", of, compute, depends={"seed": experiment.seed}))
    return pd.concat(frames, ignore_index=True)


def _of_ways(
    experiment: Experiment,
    mine: Own,
    sets: Mapping[str, Examples],
    probes: Mapping[str, Sequence[Item]],
    steps: Mapping,
    mended: Mapping,
    beside: bool,
) -> pd.DataFrame:
    """Return what `measured` says of these steps, and of what they are held against where that is `beside` them."""
    reference, stopped = mine.model(REFERENCE), _stopped(mine, steps)
    batch, longest, frames = experiment.profile.evaluation_batch, mine.given.max_tokens, []
    ends = _ends(mine, steps, mended, stopped)
    for method, ways in itertools.chain(_beside(experiment, mine) if beside else (), ends):
        with ways as model:
            near = None if method == REFERENCE else reference
            frames += [
                before_after.said(model, sets, (), batch, near).assign(method=method),
                _scored(model, mine.tokenizer, probes, longest, batch).assign(method=method),
            ]
    stops = pd.DataFrame(
        [
            ("", "", metric, float(value), method)
            for method, found in stopped.items()
            for metric, value in (("effort", found.step_size), ("reached", found.reached))
        ],
        columns=["set", "example", "metric", "value", "method"],
    )
    return pd.concat([*frames, stops], ignore_index=True)


def _texts(mine: Own, seed: int, most: int) -> dict[str, Examples]:
    """Return the texts that are asked: all that are to be forgotten, of the others at most so many."""
    found = before_after.sets(mine)
    for name in found.keys() - {"forget"}:
        all_texts = dict(zip(found[name].names, found[name].texts, strict=True))
        if len(all_texts) > most:
            chosen = sorted(drawn(list(all_texts), seed, name)[:most])
            found[name] = Examples(tuple(chosen), tuple(all_texts[one] for one in chosen))
    return found


Ends = Iterator[tuple[str, AbstractContextManager[torch.nn.Module]]]


def _beside(experiment: Experiment, mine: Own) -> Ends:
    """Yield every model that steps are held against, by name, to be opened."""
    for method, name in MODELS.items():
        yield method, own_way.opened(mine, End(name))
    yield AGAIN, own_way.opened(_again(experiment, mine), End(REFERENCE))
    short = Variant(SHORT, "truncated retraining", options={"epochs": (1,)})
    yield SHORT, own_way.opened(mine, End(UNLEARNED, short, own_way.path(mine, short).stops[-1]))


def _ends(mine: Own, steps: Mapping, mended: Mapping, stopped: Mapping[str, Calibration]) -> Ends:
    """Yield where every step ends, and every repaired one, by name, to be opened."""
    for method, found in stopped.items():
        yield method, own_way.opened(mine, End(UNLEARNED, own_way.way(mine, *steps[method]), found.step_size))
    for method, (step, share, repair) in mended.items():
        end = End(REPAIRED, own_way.way(mine, *steps[step]), share * stopped[step].step_size, repair)
        yield method, own_way.opened(mine, end)


def _stopped(mine: Own, steps: Mapping) -> dict[str, Calibration]:
    """Return where each step stops: as improbable as for the retrained model, found once."""
    where = own_way.level(mine, REFERENCE)
    return {method: own_way.stopped(mine, own_way.way(mine, *step), where) for method, step in steps.items()}


def _probes(benchmark: Benchmark, seed: int, asked: int) -> dict[str, list[Item]]:
    """Return the questions that are asked, by the set: all about what is to be forgotten, of others so many."""
    found = {}
    for name, of in SCORED.items():
        items = {item.id: item for item in benchmark.probes.get(name, ()) if item.wrong_answers}
        chosen = list(items) if of == "forget" else sorted(drawn(list(items), seed, name)[:asked])
        if chosen:
            found[name] = [items[one] for one in chosen]
    return found


def _scored(model, tokenizer, probes: Mapping[str, Sequence[Item]], longest: int, batch: int) -> pd.DataFrame:
    """Return TOFU's scores of every probe, question by question."""
    frames = []
    for name, items in probes.items():
        said = tofu.answers(model, tokenizer, items, longest, batch_size=batch)
        found = tofu.scores(said, SCORED[name])
        found["ratio"] = ratios.truth_ratio(said.wrong_nll, said.paraphrase_nll, "geometric")
        for metric, values in found.items():
            rows = {"set": name, "example": list(said.names), "metric": metric, "value": np.asarray(values, float)}
            frames.append(pd.DataFrame(rows))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["set", "example", "metric"])


def tofus(rows: pd.DataFrame) -> pd.DataFrame:
    """Return TOFU's two numbers of each method of each seed: columns of `by` (seed, to_forget where there is one),
    method, forget_quality (the p of a Kolmogorov-Smirnov test against the retrained model: high where no difference is
    found; NaN where there are no such questions), D (its distance, 0: none), n, and utility (the harmonic mean of nine
    means; NaN where a set that it needs is missing)."""
    by = [name for name in ("seed", "to_forget") if name in rows.columns]
    found = []
    for key, part in rows.groupby(by, sort=False):
        ratio = part[(part["set"] == "forget_perturbed") & (part["metric"] == "ratio")]
        near = ratio[ratio["method"] == REFERENCE].sort_values("example")["value"].to_numpy()
        for method, one in part.groupby("method", sort=False):
            ours = ratio[ratio["method"] == method].sort_values("example")["value"].to_numpy()
            quality = ratios.forget_quality(ours, near)
            found.append((*key, method, quality.p, quality.D, quality.n, _utility(one)))
    return pd.DataFrame(found, columns=[*by, "method", "forget_quality", "D", "n", "utility"])


def _utility(rows: pd.DataFrame) -> float:
    """Return the harmonic mean of the means of three scores on three sets, NaN where one of them is missing."""
    sets = [name for name, of in SCORED.items() if of in tofu.UTILITY]
    wide = rows[rows["set"].isin(sets) & rows["metric"].isin(tofu.SCORES)].groupby(["set", "metric"])["value"].mean()
    if len(wide) < len(sets) * len(tofu.SCORES):
        return float("nan")
    return ratios.model_utility({f"{of} {metric}": value for (of, metric), value in wide.items()})


def ratios_of(rows: pd.DataFrame, pairs: dict[str, tuple[str, str]], sets: tuple[str, ...] = ("forget", "keep")):
    """Return how much further from the retrained model the first of each pair of methods is than the second: columns
    set, to_forget, pair, unit, n, ratio (of the mean KL of the texts; below 1: nearer), low, high (its 95% interval).

    Over several seeds the geometric mean of their ratios, with its t-interval (unit "seeds"). Of a single seed the
    interval is a bootstrap over its texts, each with both methods (unit "texts"): it says what other texts of these
    authors would have shown, nothing of other authors or trainings. rows: see `measured`, with to_forget and seed.
    """
    far = rows[(rows["metric"] == "kl") & rows["set"].isin(sets)]
    absent = [one for pair in pairs.values() for one in pair if one not in set(far["method"])]
    if absent:
        raise UserError(f"no distances of {absent[0]!r} in the table: {nearest(absent[0], far['method'].unique())}")
    index = ["set", "to_forget", "seed", "example"]
    wide = far.pivot_table(index=index, columns="method", values="value", sort=False)
    single = far["seed"].nunique() == 1
    of = _ratios_over_texts if single else _ratios_over_seeds
    table = pd.concat([of(wide, *pair).assign(pair=name) for name, pair in pairs.items()], ignore_index=True)
    table = table.rename(columns={"mean": "ratio"}).assign(unit="texts" if single else "seeds")
    return table.sort_values(["set", "to_forget"], kind="stable")[
        ["set", "to_forget", "pair", "unit", "n", "ratio", "low", "high"]
    ]


def _ratios_over_seeds(wide: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    means = wide.groupby(level=["set", "to_forget", "seed"], sort=False).mean()
    times = (means[one] / means[other]).rename("value").reset_index()
    return geometric_over_seeds(times, by=["set", "to_forget"])


def _ratios_over_texts(wide: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    found = []
    for key, part in wide.groupby(level=["set", "to_forget"], sort=False):
        interval = ratio_interval(part[one], part[other])
        found.append((*key, len(part), interval.estimate, interval.low, interval.high))
    return pd.DataFrame(found, columns=["set", "to_forget", "n", "mean", "low", "high"])
