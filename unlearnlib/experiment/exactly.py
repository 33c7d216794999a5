"""Exact forgetting on one seed's data: models of sums, k-means, and shards; what it costs, and whether it is exact."""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from unlearnlib.experiment.heads import Head
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import clusters, sisa, summation
from unlearnlib.guarantees.clusters import Choices
from unlearnlib.guarantees.sisa import Layout
from unlearnlib.models import loading
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule


def sums(experiment: Experiment, head: Head, penalty: float = 0.1) -> pd.DataFrame:
    """Return how models of sums forget the whole forget set (cached): model, difference (the largest of any number to a
    model made from the others alone), forget_seconds and refit_seconds (CPU time), accuracy on people never seen (nan
    where it is not asked).

    Ridge regression on the features, targets -1 and +1; naive Bayes over the words of the prompts, with the words of
    the general text as the vocabulary that is fixed beforehand.
    """

    def compute() -> pd.DataFrame:
        gone = set(head.rows)
        left = [row for row in range(len(head.names)) if row not in gone]
        targets, asked = head.data.labels, head.asked
        model, started = summation.ridge(head.data.rows, targets, penalty), time.process_time()
        for row in head.rows:
            model = model.forget(head.data.rows[row : row + 1], targets[row : row + 1])
        middle = time.process_time()
        again = summation.ridge(head.data.rows[left], targets[left], penalty)
        ended, far = time.process_time(), float(np.abs(model.weights - again.weights).max())
        right = float((asked.labels * (asked.rows @ model.weights) > 0).mean())
        rows = [("ridge regression", far, middle - started, ended - middle, right)]
        vocabulary = sorted({word for passage in experiment.split.general for word in passage.text.lower().split()})
        words, kinds = [prompt.lower().split() for prompt in head.prompts], head.labels.tolist()
        counts, started = summation.counted(words, kinds, vocabulary), time.process_time()
        for row in head.rows:
            counts = counts.forget(words[row], kinds[row])
        middle = time.process_time()
        fresh = summation.counted([words[row] for row in left], [kinds[row] for row in left], vocabulary)
        ended, far = time.process_time(), 0.0 if counts == fresh else np.inf
        return pd.DataFrame(
            [*rows, ("naive Bayes", far, middle - started, ended - middle, np.nan)],
            columns=["model", "difference", "forget_seconds", "refit_seconds", "accuracy"],
        )

    return experiment.table("sums", {"head": head.identity, "penalty": penalty}, compute)


def clustered(
    experiment: Experiment,
    head: Head,
    clusters_of: int,
    axes: Sequence[int],
    widths: Sequence[float],
    leaves: Sequence[int],
) -> pd.DataFrame:
    """Return how k-means forgets the forget set, one text after the other (cached): a row for each number of `axes` (so
    many of the features), each grid width of Q-k-means (0: plain k-means) and each number of leaves of DC-k-means.

    Columns: way, axes, setting (width or leaves), refits (share of deletions after which all was fitted again), work
    (of a deletion, on average, over that of a fit; distances to centroids), loss (over that of plain k-means of the
    texts that are left, of one key), equal (whether the end is, in every bit, a fit without the forget set).
    """

    def compute() -> pd.DataFrame:
        gone = set(head.rows)
        left = [row for row in range(len(head.names)) if row not in gone]
        rows = []
        for count in axes:
            # Of unit variance in general text: a range of six of them each way, fixed beforehand.
            points = clusters.grid(head.features[:, :count], -6, 6)
            names, rest = [head.names[row] for row in left], points[left]
            plain = clusters.loss_of(rest, clusters.fit(names, rest, Choices(clusters_of, experiment.seed)).centroids)
            ways: list[tuple] = [("rounded", width, None) for width in widths]
            ways += [("tree", None, number) for number in leaves]
            for way, width, number in ways:
                choices = Choices(clusters_of, experiment.seed, width or 0.0)
                if number is None:
                    model, again = (clusters.fit(*one, choices) for one in ((head.names, points), (names, rest)))
                    forget: Callable = clusters.forget
                else:
                    pairs = ((head.names, points), (names, rest))
                    model, again = (clusters.fit_tree(*one, choices, number) for one in pairs)
                    forget = clusters.forget_in_tree
                whole = model.work.distances
                for name in head.forget:
                    model = forget(model, name)
                each = (model.work.distances - whole) / len(head.forget)
                refits = (model.work.fits - 1) / len(head.forget) if number is None else 0.0
                loss = clusters.loss_of(rest, model.centroids) / plain
                equal = np.array_equal(model.centroids, again.centroids)
                rows.append((way, count, number if width is None else width, refits, each / whole, loss, equal))
        return pd.DataFrame(rows, columns=["way", "axes", "setting", "refits", "work", "loss", "equal"])

    key = {"head": head.identity, "of": [clusters_of, list(axes), list(widths), list(leaves)]}
    return experiment.table("clusters", key, compute)


def shares(experiment: Experiment, layouts: Sequence[tuple[int, int]], keys: int = 20) -> pd.DataFrame:
    """Return what part of a training is made anew by forgetting, measured over so many keys of the hash that places the
    texts, beside the formula: shards, slices, texts (how many are forgotten at once), placed (each `text` by itself,
    or by `person`), share, and expected (nan where one text of a person who has one place is forgotten)."""
    units = {record.id: record.subject for record in (*experiment.split.forget, *experiment.split.retain)}
    own = {name: name for name in units}
    forget = [record.id for record in experiment.split.forget]
    rows = []
    for shards, slices in layouts:
        for count in (1, len(forget)):
            for placed, by in (("text", own), ("person", units)):
                drawn = range(keys * experiment.seed, keys * (experiment.seed + 1))  # every seed has keys of its own
                found = [sisa.share_of(Layout(shards, slices, key), by, forget[:count]) for key in drawn]
                # One place, like one request, where all of the person's go; of one alone the others are redone too.
                requests = count if placed == "text" else 1 if count == len(forget) else None
                # The formula is of many texts: of these, those that are forgotten are not learned again.
                left = 1 - count / len(units)
                formula = np.nan if requests is None else sisa.expected_share(requests, shards, slices) * left
                rows.append((shards, slices, count, placed, np.mean(found), formula))
    columns = ["shards", "slices", "texts", "placed", "share", "expected"]
    return pd.DataFrame(rows, columns=columns).assign(profile=experiment.profile.name, seed=experiment.seed)


def ensemble(experiment: Experiment, shards: int) -> pd.DataFrame:
    """Return what an ensemble of language models knows, each fine-tuned on a shard of the people, before and after it
    forgot the forget set's person (cached): model (`whole`: the fine-tuned model; `shards`; `shards, forgotten`), set
    and answer_probability (the mean over shards, of six answers; chance is 1/6), share (of the training that was made
    anew), and equal (whether the shards that were made anew are, in every bit, those of a training without the
    person)."""

    def compute() -> pd.DataFrame:
        texts = {
            name: list(text)
            for of in ("forget", "retain")
            for name, text in zip(experiment.sets[of].names, experiment.sets[of].texts, strict=True)
        }
        plan = Plan.of(experiment.profile)

        def learn(state, ids, shard, number):
            model, _ = loading.load(experiment.profile.base_model, on=experiment.profile.device)
            if state is not None:
                model.load_state_dict(state)
            steps = schedule({name: len(texts[name]) for name in ids}, plan, experiment.seed)
            fine_tune(model, texts, steps, plan)
            return {name: value.detach().clone() for name, value in model.state_dict().items()}

        split = experiment.split
        units = {record.id: record.subject for record in (*split.forget, *split.retain)}
        forget, layout = [record.id for record in split.forget], Layout(shards, 1, experiment.seed)
        before = sisa.train(units, layout, learn)
        after = sisa.forget(before, forget, learn)
        left: dict[int, list[str]] = {layout.place(units[name])[0]: [] for name in forget}
        for name, unit in units.items():
            shard = layout.place(unit)[0]
            if shard in left and name not in set(forget):
                left[shard].append(name)
        # Shards that held none of them were not touched; the others are trained again, from nothing but what is left.
        again = {shard: learn(None, sorted(ids), shard, 0) for shard, ids in left.items() if ids}
        equal = all(
            after.models[shard] is None
            if shard not in again
            else storage.digest_of(after.models[shard]) == storage.digest_of(again[shard])
            for shard in left
        )
        rows = []
        for name, states in (("shards", before.models), ("shards, forgotten", after.models)):
            known = pd.concat([_answers(experiment, state) for state in states if state is not None])
            for of, value in known.groupby("set")["value"].mean().items():
                rows.append((name, of, value, after.learned / before.learned, equal))
        whole = _known(experiment.evaluate(experiment.finetuned, ["forget", "retain"]))
        rows += [("whole", of, value, 1.0, True) for of, value in whole.groupby("set")["value"].mean().items()]
        return pd.DataFrame(rows, columns=["model", "set", "answer_probability", "share", "equal"])

    return experiment.table("ensemble", {"shards": shards}, compute)


def _answers(experiment: Experiment, state: Mapping) -> pd.DataFrame:
    model, _ = loading.load(experiment.profile.base_model, on=experiment.profile.device)
    model.load_state_dict(state)
    return _known(experiment.evaluate(model, ["forget", "retain"]))


def _known(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["metric"] == "answer_probability"]
