"""What a seed's fine-tuning did because of the forget set, and what gradients others had: seen by taking it again."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnlib.core import cache, definitions, fingerprint, paths
from unlearnlib.data.split import Split
from unlearnlib.data.subsets import drawn
from unlearnlib.models import loading
from unlearnlib.training import watch
from unlearnlib.training.watch import Watched

if TYPE_CHECKING:
    from unlearnlib.experiment.measured import Experiment
    from unlearnlib.experiment.own import Own


def others(split: Split, seed: int) -> list[str]:
    """Return the ids of about as many texts as there are to forget, all those of some of the neighbours, who are drawn
    by the seed: their gradients are a control for those of the forget set."""
    people = drawn(sorted({record.subject for record in split.retain}), seed, "others")
    chosen: list[str] = []
    for person in people:
        if len(chosen) >= len(split.forget):
            break
        chosen += [record.id for record in split.retain if record.subject == person]
    return chosen


def of(experiment: "Experiment") -> Watched:
    """Return what the fine-tuning of an experiment shows of its forget set (see unlearnlib.training.watch), with the
    gradients of `others`; the training is taken again once, and what it showed is kept."""
    split, profile = experiment.split, experiment.profile
    points, beside = sorted(record.id for record in split.forget), others(split, experiment.seed)

    def compute(folder: Path) -> None:
        sets = [experiment.sets[name] for name in ("forget", "remaining", "retain") if name in experiment.sets]
        texts = {name: text for one in sets for name, text in zip(one.names, one.texts, strict=True)}
        base, _ = loading.load(profile.base_model, on=profile.device)
        title = f"watching, seed {experiment.seed}"
        watch.watch(experiment.folder("finetuned"), base, texts, points, beside, folder, title)

    key = {
        "training": experiment.fingerprint("finetuned"),
        "points": points,
        "others": beside,
        "code": definitions.code(watch.watch),
    }
    return Watched(cache.folder(paths.cache_folder(profile.name), f"watched-seed{experiment.seed}", key, compute))


def of_own(own: "Own") -> Watched:
    """Return the same of somebody's own texts; the others are as many of those to keep, drawn by the seed. UserError
    where the training does not come out the same again."""
    beside = drawn([one.id for one in own.keep], own.given.seed, "others")[: len(own.forget)]

    def compute(folder: Path) -> None:
        base = copy.deepcopy(own.base())
        watch.watch(own.folder("finetuned"), base, own.trained_on, own.forgotten, beside, folder, "watching")

    key = {**own.asked_for, "others": fingerprint.combine({"ids": beside}), "code": definitions.code(watch.watch)}
    return Watched(cache.folder(own.root, "own-watched", key, compute))
