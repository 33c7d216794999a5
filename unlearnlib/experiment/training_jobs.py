"""The training jobs: every model is trained once, in one job, and kept by content.

`python -m unlearnlib.experiment.training_jobs train --profile small --seed 3 --kind finetuned` does one job, or finds
it cached.
"""

import argparse
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from unlearnlib.core import cache as cached
from unlearnlib.core import definitions, paths, profiles
from unlearnlib.core import fingerprint as fingerprints
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import subsets
from unlearnlib.data.records import Record
from unlearnlib.data.split import Split, draw_split

# finetuned: on everything, recording the gradients of Dave's points; retrained: the reference, which never saw them.
# Several models each, all without some of the points: random halves of them (in four jobs, which may run side by side),
# one point each, and a few points (profiles: halves, left_out, forget_sizes).
# late: fine-tuned in two stages, Dave in the second one; late-retrained: the same without him.
# originals, references: finetuned and retrained again and again, in other orders of the texts (profiles: originals,
# references); number 0 is the usual one. Unlearning the originals is part of their jobs.
HALVES = ("halves-1", "halves-2", "halves-3", "halves-4")
ORIGINALS = ("originals-1", "originals-2", "originals-3", "originals-4")
REFERENCES = ("references-1", "references-2", "references-3", "references-4")
LATE = ("late", "late-retrained")
USUAL = ("finetuned", "retrained")
KINDS = (*USUAL, *HALVES, "left-out", "smaller-sets", *LATE, *ORIGINALS, *REFERENCES)

# The kinds whose models are kept; of the others what they say is kept, when ASKED_BY has asked them.
KEPT = (*USUAL, "smaller-sets", *LATE)
TRAINED_BY = "unlearnlib.experiment.training_jobs:_train"
ASKED_BY = "unlearnlib.experiment.many:ask"

# What a model's key holds as data, not as code; and what only looks whether the data will do.
KEYED = tuple(
    f"unlearnlib.{name}" for name in ("data.records", "data.split", "data.subsets", "core.profiles", "experiment.fit")
)

# The fields of a profile that make a training plan; named here so that planning a run need not import torch.
PLAN = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "gradient_clip")


def split_of(profile: profiles.Profile, seed: int) -> Split:
    """Return the split of the data that this seed draws at this profile's scale, from the files as they are now."""
    drawn = (profile.trained_attributes, profile.neighbours, profile.never_seen, profile.general_passages)
    folder = paths.data_folder(profile.data)
    files = tuple((path.name, path.stat().st_mtime_ns) for path in sorted(folder.glob("*.jsonl")))
    return _split(seed, *drawn, folder, files)


@cache
def _split(
    seed: int, trained_attributes: int, neighbours: int, never_seen: int, general: int, folder: Path, files: tuple
) -> Split:
    return draw_split(folder, seed, trained_attributes, neighbours, never_seen, general)


@cache
def base_fingerprint(base_model: str) -> str:
    """Return what identifies the base model: the content of a local folder, else its name on the hub."""
    folder = next((path for path in (paths.ROOT / base_model, Path(base_model)) if path.is_dir()), None)
    if not folder:
        return base_model
    files = [
        path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".bin", ".json", ".txt", ".model")
    ]
    return fingerprints.files(*[path for path in files if path.name != "recipe.json"])


def seeds_of(profile_name: str, kind: str, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return those of `seeds` for which a profile has this kind of training job: ground truth is for a few seeds."""
    profile = profiles.load(profile_name)
    few = {
        **dict.fromkeys(HALVES, profile.halves_seeds),
        "left-out": profile.left_out_seeds,
        **dict.fromkeys(LATE, profile.late_seeds),
        **dict.fromkeys((*ORIGINALS, *REFERENCES), profile.distribution_seeds),
    }
    return tuple(seed for seed in seeds if seed in few.get(kind, seeds))


def models(profile: profiles.Profile, kind: str, seed: int) -> dict[str, tuple[str, ...]]:
    """Return the models that a job trains: by name, the ids of the points that each is trained without.

    Raises UserError for an unknown kind, and for a profile that asks for more points than the seed trains on.
    """
    if kind not in KINDS:
        raise UserError(f"no kind of model {kind!r}: {nearest(kind, KINDS)}")
    forget = tuple(record.id for record in split_of(profile, seed).forget)
    if kind in (*USUAL, *LATE):
        return {kind: forget if kind.endswith("retrained") else ()}
    if kind in ORIGINALS:
        return {f"original {number}": () for number in _share(kind, ORIGINALS, profile.originals)}
    if kind in REFERENCES:
        return {f"reference {number}": forget for number in _share(kind, REFERENCES, profile.references)}
    if kind in HALVES:
        halves = list(enumerate(subsets.random_halves(forget, profile.halves, seed)))
        return {f"half {number}": removed for number, removed in halves[HALVES.index(kind) :: len(HALVES)]}
    order = subsets.drawn(forget, seed, "left out")
    sizes = [profile.left_out] if kind == "left-out" else profile.forget_sizes
    if max(sizes) >= len(forget):
        key = "left_out" if kind == "left-out" else "forget_sizes"
        raise UserError(f"{key} of profile {profile.name} asks for {max(sizes)} points: give fewer than {len(forget)}")
    if kind == "left-out":
        return {f"without {name}": (name,) for name in order[: profile.left_out]}
    return {f"without {size}": tuple(order[:size]) for size in sizes}


def _share(kind: str, kinds: Sequence[str], count: int) -> range:
    return range(kinds.index(kind), count, len(kinds))


def order_of(seed: int, name: str) -> int:
    """Return the number that fixes the order of the texts: the seed itself, but for "original 3" and its like."""
    kind, _, number = name.partition(" ")
    return seed + int(number) if kind in ("original", "reference") else seed


def stages_of(split: Split, kind: str) -> list[list[Record]]:
    """Return the records of each stage of training: one stage, but for the kinds late and late-retrained, where Dave
    and the last quarter of the neighbours (by name) come in a second one."""
    if kind not in LATE:
        return [[*split.forget, *split.retain]]
    people = sorted({record.subject for record in split.retain})
    late = set(people[-max(1, len(people) // 4) :])
    first = [record for record in split.retain if record.subject not in late]
    return [first, [*split.forget, *(record for record in split.retain if record.subject in late)]]


def training_key(
    profile: profiles.Profile, kind: str, seed: int, removed: Sequence[str] = (), order: int | None = None
) -> dict:
    """Return everything that a trained model depends on, and nothing else; `order` as in order_of (default: seed)."""
    split = split_of(profile, seed)
    return {
        "kind": _family(kind),
        "removed": sorted(removed),
        "seed": seed if order is None else order,
        "base": base_fingerprint(profile.base_model),
        "plan": {name: getattr(profile, name) for name in PLAN},
        "max_tokens": profile.max_tokens,
        **{name: version(name) for name in ("torch", "transformers", "numpy")},
        "device": profile.device if profile.device == "cpu" else str(_device(profile.device)),
        "texts": {record.id: record.text for record in (*split.forget, *split.retain)},
        "forget": [record.id for record in split.forget],
        "stages": [[record.id for record in stage] for stage in stages_of(split, kind)] if kind in LATE else None,
        "states": profile.checkpoint_steps if kind in ("finetuned", "late") else None,
        "epochs kept": kind == "finetuned" and seed in (*profile.halves_seeds, *profile.left_out_seeds),
        "code": definitions.code(TRAINED_BY, without=KEYED),
    }


def _family(kind: str) -> str:
    """Return what is kept of a model: all models of a family that agree in the rest of the key are one."""
    kept = {**dict.fromkeys(ORIGINALS, "original"), **{name: name for name in (*USUAL, *LATE)}}
    return kept.get(kind, "without")


def _device(name: str):
    from unlearnlib.models.loading import device

    return device(name)


def parts(profile_name: str, kind: str, seed: int) -> dict:
    """Return all that one training job depends on: settings, models, the code that trains them, and that asks them."""
    profile = profiles.load(profile_name)
    keys = {name: _keyed(profile, kind, seed, name)[1] for name in models(profile, kind, seed)}
    found = {
        "settings": next(iter(keys.values())),
        "models": {name: fingerprints.combine(key) for name, key in keys.items()},
        "code": definitions.of(TRAINED_BY, without=KEYED),
    }
    if kind not in KEPT:  # what is kept of these are answers, whatever metrics are made of them
        found["asked by"] = definitions.of(ASKED_BY, without=("unlearnlib.measures.evaluation:METRICS",))
    return found


def fingerprint(profile_name: str, kind: str, seed: int) -> str:
    """Return a short hash of all that one training job depends on."""
    return fingerprints.combine(parts(profile_name, kind, seed))


def model_fingerprint(profile: profiles.Profile, kind: str, seed: int, name: str | None = None) -> str:
    """Return a short hash of all that one trained model depends on (default: the one its kind is called after)."""
    return fingerprints.combine(_keyed(profile, kind, seed, kind if name is None else name)[1])


def train(profile: profiles.Profile, kind: str, seed: int) -> list[str]:
    """Train the models of a job that the cache lacks, and return the names of all of them.

    Of the kinds in KEPT the models are kept. Of the others, which are many, what they say is kept: they are asked at
    once (unlearnlib.experiment.many.ask), the originals after unlearning too, and their weights are let go.
    """
    names = list(models(profile, kind, seed))
    if kind in KEPT:
        for name in names:
            model_folder(profile, kind, seed, name)
    else:
        # Imported by name: how models are asked is no part of what a model, or another table, depends on.
        module, _, function = ASKED_BY.partition(":")
        getattr(importlib.import_module(module), function)(profile, kind, seed)
    return names


def model_folder(profile: profiles.Profile, kind: str, seed: int, name: str | None = None) -> Path:
    """Return the folder of one trained model (default: the one that its kind is called after), trained if missing.

    It holds the weights; of the kinds finetuned, retrained, late, late-retrained and originals also the log (see
    unlearnlib.training.storage.save); of fine-tuned ones and originals the second moments and the recorded gradients of
    the forget set; of finetuned and late the states for a replay; of finetuned, where the seed has ground truth of
    influence, the weights after every epoch. UserError for an unknown kind or name.
    """
    return cached.folder(*_entry(profile, kind, seed, name))


@contextmanager
def borrowed_folder(profile: profiles.Profile, kind: str, seed: int, name: str | None = None) -> Iterator[Path]:
    """Yield the folder of one trained model (see model_folder) for as long as it is looked at: one that is not kept is
    trained for it and let go afterwards."""
    kept, _ = _keyed(profile, kind, seed, kind if name is None else name)
    if kept in KEPT:
        yield model_folder(profile, kind, seed, name)
        return
    with cached.borrowed(*_entry(profile, kind, seed, name)) as folder:
        yield folder


def _entry(profile: profiles.Profile, kind: str, seed: int, name: str | None) -> tuple:
    """Return the root, the kind, the key and the computation of a model's entry in the cache."""
    name = kind if name is None else name
    kept, key = _keyed(profile, kind, seed, name)
    title = f"{kind}, seed {seed}: {name}"
    root = paths.cache_folder(profile.name)

    def train_now(folder: Path) -> None:
        definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(TRAINED_BY, without=KEYED))
        _train(profile, kept, seed, key, title, folder)

    return root, f"{key['kind']}-seed{seed}", key, train_now


def _keyed(profile: profiles.Profile, kind: str, seed: int, name: str) -> tuple[str, dict]:
    """Return the kind that one model is trained as, and its key: original 0 is the fine-tuned model itself."""
    known = models(profile, kind, seed)
    if name not in known:
        raise UserError(f"no model {name!r} of the kind {kind!r}: {nearest(name, known)}")
    order = order_of(seed, name)
    if order == seed:
        kind = "finetuned" if kind in ORIGINALS else "retrained" if kind in REFERENCES else kind
    return kind, training_key(profile, kind, seed, known[name], order)


def _train(profile: profiles.Profile, kind: str, seed: int, key: dict, title: str, folder: Path) -> None:
    from unlearnlib.data import batches
    from unlearnlib.experiment import fit
    from unlearnlib.gradients.record import Recorder
    from unlearnlib.models import loading
    from unlearnlib.training import storage
    from unlearnlib.training.loop import fine_tune
    from unlearnlib.training.schedule import Plan, last_of_epochs, staged

    split, removed, order = split_of(profile, seed), key["removed"], key["seed"]
    model, tokenizer = loading.load(profile.base_model, on=profile.device)
    fit.check(profile, split, model, tokenizer)
    texts = {
        record.id: batches.encode_text(tokenizer, record.text, profile.max_tokens)
        for record in (*split.forget, *split.retain)
    }
    plan = Plan.of(profile)
    lengths = [{record.id: len(texts[record.id]) for record in stage} for stage in stages_of(split, kind)]
    steps = staged(lengths, plan, order)
    # Whatever is trained without some texts is trained by the rule for that, and never reads them.
    texts = {name: ids for name, ids in texts.items() if name not in set(removed)}
    points = [record.id for record in split.forget]
    recorder = None
    if kind == "finetuned":
        recorder = Recorder(points)
    elif kind in ORIGINALS:
        recorder = Recorder(points, point_epochs=(), joined_from=1)
    ends = last_of_epochs(steps)
    kept = _states(steps, plan.epochs, profile.checkpoint_steps) if key["states"] else set()

    def after_step(step, optimizer) -> None:
        if key["epochs kept"] and step.step == ends[step.epoch] and step is not steps[-1]:
            storage.save_weights(folder, model, step.epoch)
        if step.step in kept:
            storage.save_state(folder, model, optimizer, step.step)

    result = fine_tune(model, texts, steps, plan, removed, recorder, title, after_step)
    if kind in (*USUAL, *LATE, *ORIGINALS):
        storage.save(folder, model, result, steps, plan, order, removed, moments=recorder is not None)
    else:
        storage.save_weights(folder, model)
    if key["epochs kept"]:
        storage.keep_last_epoch(folder, steps[-1].epoch)
    if recorder:
        recorder.save(folder)


def _states(steps: Sequence, epochs: int, every: int) -> set[int]:
    """Return the steps after which a state is worth keeping: a replay starts before the first step that held a removed
    text, and every text of a stage is in the stage's first epoch."""
    kept = set()
    for number, step in enumerate(steps):
        stage, epoch = divmod(step.epoch, epochs)
        if stage and epoch == 0 and steps[number - 1].epoch < step.epoch:
            kept.add(steps[number - 1].step)
        if epoch == 0 and (step.step + 1) % every == 0:
            kept.add(step.step)
    return kept


def main(arguments: list[str] | None = None) -> int:
    """Run one training job from the command line; exit status 2 with one line for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m unlearnlib.experiment.training_jobs", description=__doc__)
    parser.add_argument("action", choices=["train"])
    parser.add_argument("--profile", default="small")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kind", default="finetuned")
    given = parser.parse_args(arguments)
    try:
        print(*train(profiles.load(given.profile), given.kind, given.seed), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
