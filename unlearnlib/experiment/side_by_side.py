"""Ways to forget side by side: each at its stops, with all that is asked of it and what it took to come there.

Nothing of a way's training is kept: it is trained, searched, measured and let go in one go, and what was measured is
kept. So thirty ways of a dozen stops each take no room.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path as FilePath

import numpy as np
import pandas as pd

from unlearnlib.core import cache, fingerprint, paths
from unlearnlib.core.tables import tidy
from unlearnlib.experiment import attacks, closeness, cost, ends, fine_tuning, stops, towards
from unlearnlib.experiment.literature import CLASSES, Way
from unlearnlib.experiment.measured import Experiment, set_of
from unlearnlib.experiment.passes import BACKWARD, Memory, Passes, counted
from unlearnlib.experiment.stops import EQUAL, GONE
from unlearnlib.gradients import algebra
from unlearnlib.measures import evaluation, membership
from unlearnlib.measures.distance import divergence, log_distributions
from unlearnlib.methods.equal_forgetting import Calibration, first_crossing, first_stop
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request

SETS = ("forget", "heldout", "retain", "general")
# What is read where outputs are gone: the two distances of the plane, and no answers.
NEAR = ("forget", "retain")
STOPS = (EQUAL, GONE)
END = "end"  # the stop of what is trained to its own end, as retraining is
MODELS = ("base", "finetuned", "retrained", "retrained again")
ACCOUNT = "account"  # in the place of a set: what it took, in rows of one number each


def measured(experiment: Experiment, way: Way, at: Sequence[str] = STOPS) -> pd.DataFrame:
    """Return tidy rows of a way at its stops (cached): the columns stop, reached, set, example, metric, value.

    At EQUAL, and at the END of a way that is not ranked, every metric of SETS and `kl` (KL(retrained || model), nats a
    token; 0 is the retrained model); at GONE `kl` on NEAR alone. Where the stop is not reached the effort stands at
    which the forget set is least known, and reached is false. In rows of the set ACCOUNT: effort, norm (L2, of what was
    added to the parameters), forward and backward (texts read by then, preparation too, without the search for the
    effort and without fine-tuning), seconds (CPU, the same), prepared_seconds (what recording added to fine-tuning) and
    stored_bytes. Of a way that trains and does not reach its stop that is the account of its whole training.
    """
    at = tuple(at) if way.ranked else (END,)

    def compute() -> pd.DataFrame:
        with _kept(experiment, way) as keep:
            return _measured(experiment, way, keep, at)

    search = {**experiment.search(), **way.search, "target": experiment.target()}
    key = {"of": experiment.of(way.variant), "search": search, "at": list(at)}
    return tidy(experiment.table("side-by-side", key, compute), method=way.name)


@contextmanager
def _kept(experiment: Experiment, way: Way) -> Iterator[Callable]:
    """Yield the function by which a method keeps its folders, which are deleted when the block ends."""
    found: dict[str, FilePath] = {}
    with ExitStack() as open_folders:

        def keep(compute: Callable, name: str = "") -> FilePath:
            if name not in found:
                key = {"of": fingerprint.combine(experiment.of(way.variant)), "seed": experiment.seed, "name": name}
                root = paths.cache_folder(experiment.profile.name)
                folder = cache.borrowed(root, f"passing-seed{experiment.seed}", key, compute)
                found[name] = open_folders.enter_context(folder)
            return found[name]

        yield keep


def _measured(experiment: Experiment, way: Way, keep: Callable, at: Sequence[str]) -> pd.DataFrame:
    taken = _Taken(experiment, way, keep)
    frames, equal = [], None
    for stop in at:
        if stop == END:
            found = Calibration(taken.path.stops[-1], float("nan"), True, ())
        else:
            found = _search(experiment, way, taken.path, stop, equal)
        equal = found if stop == EQUAL else equal
        account = {"effort": found.step_size, **taken.account(found)}
        with taken.path.at(found.step_size) as model:
            rows = _asked(experiment, model, NEAR if stop == GONE else SETS, answers=stop != GONE)
        told = pd.DataFrame({"set": ACCOUNT, "example": "", "metric": list(account), "value": list(account.values())})
        frames.append(pd.concat([rows, told]).assign(stop=stop, reached=found.reached))
    return pd.concat(frames, ignore_index=True)


class _Taken:
    """A path, made while it was counted what that took."""

    def __init__(self, experiment: Experiment, way: Way, keep: Callable):
        self.experiment, self.way, self.keep = experiment, way, keep
        with counted() as self.count:
            self.path, self.seconds, made = self._new(self._first(way))
            self.passes = self.count.now
        self.walks = self.path.stops is None and made != self.passes  # what it does depends on how far it goes

    def _first(self, way: Way) -> Callable[[Path], float]:
        search = {**self.experiment.search(), **way.search}
        return lambda path: search["smallest"] if path.stops is None else path.stops[1]

    def _new(self, effort: Callable[[Path], float]) -> tuple[Path, float, Passes]:
        """Return the path, opened at an effort, the seconds that this took, and what was read until it was opened."""
        request: Request = self.experiment.new_request().having(keep=self.keep)
        started = time.process_time()
        path = self.way.variant.path(request)
        made = self.count.now
        with path.at(effort(path)):
            return path, time.process_time() - started, made

    def account(self, found: Calibration) -> dict[str, float]:
        """Return what it took to come to a stop (see measured)."""
        path, effort, passes, seconds = self.path, found.step_size, self.passes, self.seconds
        if path.stops is not None:
            last = effort if found.reached else path.stops[-1]
            passes, seconds = self.count.until(int(last)), path.seconds(last)
        elif self.walks:
            with counted() as self.count:
                _, seconds, _ = self._new(lambda _: effort)
            passes = self.count.now
        uses = sorted(self.way.variant.known.uses - {"keep"})
        recording = cost.spent(self.experiment, "finetuned")["recording"] if "record" in uses else 0.0
        return {
            "norm": algebra.norm(ends.added(self.experiment, path, effort)),
            "forward": float(passes.forward),
            "backward": float(passes.backward),
            "seconds": seconds,
            "prepared_seconds": recording,
            "stored_bytes": float(cost.stored(self.experiment, uses)),
        }


def _search(experiment: Experiment, way: Way, path: Path, stop: str, equal: Calibration | None) -> Calibration:
    """Return where a path comes to a stop: the first of its own, or the smallest effort that is found."""
    search = {**experiment.search(), **way.search}
    measure, target = experiment.forget_probability, experiment.target()
    if stop == GONE:
        measure, target = partial(stops.excess, experiment, stops.levels(experiment)), 0.0
        if equal is not None and equal.step_size:
            smallest = stops.FROM * equal.step_size
            search = {**search, "smallest": smallest, "start": smallest}

    def look(effort: float) -> float:
        with path.at(effort) as model:
            return measure(model)

    return first_crossing(look, target, **search) if path.stops is None else first_stop(look, target, path.stops)


def _asked(experiment: Experiment, model, sets: Sequence[str], answers: bool) -> pd.DataFrame:
    """Return the rows of a model on some sets: `kl`, and with `answers` every metric of what it says."""
    frames, batch = [], experiment.profile.evaluation_batch
    for name in towards.limited(experiment, sets):
        examples = closeness.read(experiment, name)
        ours, theirs = log_distributions(model, examples.texts, batch), closeness.of_retrained(experiment, name)
        apart = [divergence(reference, mine) for mine, reference in zip(ours, theirs, strict=True)]
        rows = {"set": set_of(name), "example": list(examples.names), "metric": "kl", "value": apart}
        frames.append(pd.DataFrame(rows))
        if answers:
            frames.append(evaluation.evaluate(model, {set_of(name): examples}, batch))
    return pd.concat(frames, ignore_index=True)


def models(experiment: Experiment) -> pd.DataFrame:
    """Return the same rows of the models that say what a number means (MODELS; stop `models`): what they were trained
    for is no forgetting, and has no account, but for that of retraining."""
    sets = towards.limited(experiment, SETS)
    frames = []
    for name in MODELS:
        frames += [experiment.at_step(name, None, sets), towards.divergences(experiment, name, sets=sets)]
    read = retraining(experiment)
    spent = cost.of_retraining(experiment).iloc[0]
    account = {name: float(spent[name]) for name in ("effort", "norm", "seconds", "prepared_seconds", "stored_bytes")}
    account |= {"forward": float(read.forward), "backward": float(read.backward)}
    told = pd.DataFrame({"set": ACCOUNT, "example": "", "metric": list(account), "value": list(account.values())})
    frames.append(tidy(told, profile=experiment.profile.name, seed=experiment.seed, method="retrained"))
    return pd.concat(frames, ignore_index=True).assign(stop="models", reached=True)


def retraining(experiment: Experiment) -> Passes:
    """Return what retraining reads: every text of every step, forwards and backwards."""
    texts = int(fine_tuning.training_log(experiment, "retrained")["texts"].sum())
    return Passes(texts, texts)


def peak_bytes(experiment: Experiment, way: Way) -> float:
    """Return the most memory (bytes) that a way's tensors take at one time beside the model to start from (cached): of
    a way that trains in its first steps, of another on its way to its first effort."""

    def compute() -> pd.DataFrame:
        short = _shortest(way)
        with _kept(experiment, short) as keep, Memory() as memory:
            path = short.variant.path(experiment.new_request().having(keep=keep))
            first = {**experiment.search(), **way.search}["smallest"] if path.stops is None else path.stops[1]
            with path.at(first):
                return pd.DataFrame({"peak": [float(memory.peak)]})

    key = {"of": experiment.of(way.variant), "search": dict(way.search)}
    return float(experiment.table("side-by-side-memory", key, compute)["peak"].iloc[0])


def _shortest(way: Way) -> Way:
    """Return a way that trains with no more steps than lie before its first stop."""
    options = dict(way.variant.options)
    fewest = {"teacher_steps": 1, "reinforce_steps": 1, "steps": options.get("every", 1)}
    fewest |= {} if way.ranked else {"epochs": (1,)}  # those of a recorded way say which gradients
    shorter = {name: value for name, value in fewest.items() if name in options}
    return replace(way, variant=replace(way.variant, options={**options, **shorter}))


# From rows to what is said of them


def places(rows: pd.DataFrame) -> pd.DataFrame:
    """Return where every way stands in the plane: columns seed, method, stop, reached, set (of NEAR), value, the mean
    KL to the retrained model (nats a token)."""
    part = rows[(rows["metric"] == "kl") & rows["set"].isin(NEAR)]
    keys = ["seed", "method", "stop", "reached", "set"]
    return part.groupby(keys, sort=False)["value"].mean().reset_index()


def accounts(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what every way took: a row for each seed, method and stop, a column for each number of its account, and
    `work`: texts read, a backward pass counted as two, as a multiple of what retraining reads."""
    part = rows[rows["set"] == ACCOUNT]
    keys = ["seed", "method", "stop", "reached"]
    wide = part.pivot_table(index=keys, columns="metric", values="value", sort=False).reset_index()
    work = wide["forward"] + BACKWARD * wide["backward"]
    whole = work[wide["method"] == "retrained"].set_axis(wide.loc[wide["method"] == "retrained", "seed"])
    return wide.assign(work=(work / wide["seed"].map(whole)).to_numpy()).rename_axis(columns=None)


def attacked(experiment: Experiment, rows: pd.DataFrame) -> pd.DataFrame:
    """Return how well the loss of the answer alone tells forgotten points from held-out ones, in one seed's rows:
    columns seed, method, stop, auc (0.5: not at all; near 1: as members; read it beside the retrained model's)."""
    chosen = attacks.exchangeable(experiment)
    found = []
    part = rows[(rows["metric"] == "answer_nll") & (rows["seed"] == experiment.seed)]
    for (method, stop), own in part.groupby(["method", "stop"], sort=False):
        known = {name: own[own["set"] == name].set_index("example")["value"] for name in chosen}
        sides = (known[name].reindex(chosen[name]).to_numpy() for name in ("forget", "heldout"))
        found.append((experiment.seed, method, stop, membership.auc(*sides)))
    return pd.DataFrame(found, columns=["seed", "method", "stop", "auc"])


def ranked(apart: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Return every way's rank among those of its class that came to the same stop in the same seed: columns seed, stop,
    set, group, method, of (how many were ranked), rank (1 is nearest to the retrained model).

    apart: of `places`; groups: the class of each method that is ranked, by name. A way that did not come to the stop
    has no rank (NaN): it was not as far as the others.
    """
    part = apart[apart["method"].isin(groups.index) & (apart["stop"] != END)].copy()
    part["group"] = part["method"].map(groups)
    part["value"] = part["value"].where(part["reached"].astype(bool))
    by = part.groupby(["seed", "stop", "set", "group"], sort=False)["value"]
    part = part.assign(rank=by.rank(), of=by.transform("count"))
    order = part["group"].map(CLASSES.index)
    return part.assign(order=order).sort_values(["order"], kind="stable").drop(columns=["order", "value", "reached"])


def nearer(apart: pd.DataFrame, spent: pd.DataFrame, line: Sequence[str]) -> pd.DataFrame:
    """Return for each way whether retraining beats it with as much work or less: columns method, set, value (geometric
    mean KL), work (mean over seeds), line (the geometric mean KL of the longest retraining of `line` that takes no more
    work; NaN where none does), and times, value over line: above 1 retraining is nearer at equal compute.

    apart: of `places` at one stop and of the ways of `line`; spent: of `accounts` of the same.
    """
    near = apart.assign(value=np.log(apart["value"])).groupby(["method", "set"], sort=False)["value"].mean()
    work = spent.groupby("method", sort=False)["work"].mean()
    rows = []
    for (method, of), value in near.items():
        if method in line or method not in work.index:
            continue
        below = [name for name in line if name in work.index and work[name] <= work[method]]
        best = max(below, key=lambda name: work[name], default=None)
        level = np.nan if best is None else float(np.exp(near[best, of]))
        rows.append((method, of, float(np.exp(value)), float(work[method]), level))
    table = pd.DataFrame(rows, columns=["method", "set", "value", "work", "line"])
    return table.assign(times=table["value"] / table["line"])


# The columns of `table`: what they are called, and which of the measures of unlearnlib.measures.collateral they are.
SHOWN = {
    "neighbours: completions": "neighbours: completions",
    "neighbours: perplexity": "neighbours: perplexity",
    "KL, forget set": "forget set: KL",
    "KL, held-out": "held-out points: KL",
    "KL, neighbours": "neighbours: KL",
    "KL, general": "general text: KL",
}


def table(measures: pd.DataFrame, auc: pd.DataFrame, spent: pd.DataFrame, peaks: pd.Series) -> pd.DataFrame:
    """Return everything of every method in one row each, means over seeds (of perplexities and KL geometric ones).

    measures: of unlearnlib.measures.collateral, auc: of `attacked`, spent: of `accounts`, all at one stop; peaks: bytes
    by method. `reached` says in how many of the seeds the stop was reached; a seed in which it was not stands where the
    forget set was least known. NaN where nothing was measured.
    """
    wide = measures.pivot_table(index="method", columns="measure", values="value", sort=False)
    of = {title: wide[name] for title, name in SHOWN.items()}
    of |= {title: np.exp(value) for title, value in of.items() if title != "neighbours: completions"}
    seeds = measures.drop_duplicates(["seed", "method"]).groupby("method", sort=False)["reached"]
    reached = seeds.agg(lambda part: f"{int(part.astype(bool).sum())} of {len(part)}")
    numbers = spent.groupby("method", sort=False).mean(numeric_only=True).reindex(wide.index)
    taken = {"forward": numbers["forward"], "backward": numbers["backward"], "work": numbers["work"]}
    taken |= {"seconds": numbers["seconds"], "of recording": numbers["prepared_seconds"]}
    taken |= {"peak MB": peaks.reindex(wide.index) / 1e6, "stored MB": numbers["stored_bytes"] / 1e6}
    attack = auc.groupby("method", sort=False)["auc"].mean().reindex(wide.index)
    return pd.DataFrame({"reached": reached.reindex(wide.index), **of, "attack AUC": attack, **taken})


def listed(ways: Sequence[Way]) -> pd.DataFrame:
    """Return what every way is, one row each: method, sees (letters), class, what it does, source."""
    rows = [(way.name, way.letters, way.group, way.said, way.source) for way in ways]
    return pd.DataFrame(rows, columns=["method", "sees", "class", "what it does", "source"])
