"""The training jobs: every model is trained once, in one job, and kept by content.

`python -m unlearnlib.jobs train --profile small --seed 3 --kind finetuned` does one job, or finds it cached.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from unlearnlib import cache as cached
from unlearnlib import data, paths, profiles, subsets
from unlearnlib import fingerprint as fingerprints
from unlearnlib.errors import UserError, nearest

# finetuned: on everything, recording the gradients of Dave's points; retrained: the reference, which never saw them.
# The others train several models each, all without some of the points: random halves of them (in four jobs, which may
# run side by side), one point each, and a few points (profiles: halves, left_out, forget_sizes).
HALVES = ("halves-1", "halves-2", "halves-3", "halves-4")
KINDS = ("finetuned", "retrained", *HALVES, "left-out", "smaller-sets")
USUAL = ("finetuned", "retrained")

# The fields of a profile that make a training plan; named here so that planning a run need not import torch.
PLAN = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "gradient_clip")

# What each notebook reads, for the order of a run; a notebook that is not named reads the usual trainings of its seeds.
NEEDS = {"00": (), "01": (), "03": (*USUAL, *HALVES, "left-out"), "06": (*USUAL, "smaller-sets")}


def split_of(profile: profiles.Profile, seed: int) -> data.Split:
    """Return the split of the data that this seed draws at this profile's scale."""
    return _split(seed, profile.trained_attributes, profile.neighbours, profile.never_seen, profile.general_passages)


@cache
def _split(seed: int, trained_attributes: int, neighbours: int, never_seen: int, general: int) -> data.Split:
    return data.split(paths.DATA, seed, trained_attributes, neighbours, never_seen, general)


@cache
def base_fingerprint(base_model: str) -> str:
    """Return what identifies the base model: the content of a local folder, else its name on the hub."""
    folder = next((path for path in (paths.ROOT / base_model, Path(base_model)) if path.is_dir()), None)
    if not folder:
        return base_model
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".bin", ".json", ".txt")]
    return fingerprints.files(*[path for path in files if path.name != "recipe.json"])


def seeds_of(profile_name: str, kind: str, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return those of `seeds` for which a profile has this kind of training job: ground truth is for a few seeds."""
    profile = profiles.load(profile_name)
    few = profile.halves_seeds if kind in HALVES else profile.left_out_seeds if kind == "left-out" else seeds
    return tuple(seed for seed in seeds if seed in few)


def models(profile: profiles.Profile, kind: str, seed: int) -> dict[str, tuple[str, ...]]:
    """Return the models that a job trains: by name, the ids of the points that each is trained without.

    Raises UserError for an unknown kind, and for a profile that asks for more points than the seed trains on.
    """
    if kind not in KINDS:
        raise UserError(f"no kind of model {kind!r}: {nearest(kind, KINDS)}")
    forget = tuple(record.id for record in split_of(profile, seed).forget)
    if kind in USUAL:
        return {kind: forget if kind == "retrained" else ()}
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


def training_key(profile: profiles.Profile, kind: str, seed: int, removed: Sequence[str] = ()) -> dict:
    """Return everything that a trained model depends on, and nothing else."""
    split = split_of(profile, seed)
    return {
        "kind": kind if kind in USUAL else "without",
        "removed": sorted(removed),
        "seed": seed,
        "base": base_fingerprint(profile.base_model),
        "plan": {name: getattr(profile, name) for name in PLAN},
        "max_tokens": profile.max_tokens,
        "torch": version("torch"),
        "device": profile.device if profile.device == "cpu" else str(_device(profile.device)),
        "texts": {record.id: record.text for record in (*split.forget, *split.retain)},
        "forget": [record.id for record in split.forget],
        "code": fingerprints.code("unlearnlib.training"),
    }


def _device(name: str):
    from unlearnlib import models

    return models.device(name)


def fingerprint(profile_name: str, kind: str, seed: int) -> str:
    """Return a short hash of all that one training job depends on."""
    profile = profiles.load(profile_name)
    return fingerprints.combine(
        {name: training_key(profile, kind, seed, removed) for name, removed in models(profile, kind, seed).items()}
    )


def train(profile: profiles.Profile, kind: str, seed: int) -> dict[str, Path]:
    """Return the folders of a job's models by name (see model_folder), training those that the cache lacks."""
    return {name: model_folder(profile, kind, seed, name) for name in models(profile, kind, seed)}


def model_folder(profile: profiles.Profile, kind: str, seed: int, name: str | None = None) -> Path:
    """Return the folder of one trained model (default: the one that its kind is called after), trained if missing.

    It holds the weights; of the kinds finetuned and retrained also the optimizer's moments and the log (see
    unlearnlib.training.save); of a fine-tuned one also checkpoints and the recorded gradients of the forget set.
    UserError for an unknown kind or name.
    """
    known = models(profile, kind, seed)
    name = kind if name is None else name
    if name not in known:
        raise UserError(f"no model {name!r} of the kind {kind!r}: {nearest(name, known)}")
    removed = known[name]
    return cached.folder(
        paths.runs() / profile.name / "cache",
        f"{kind if kind in USUAL else 'without'}-seed{seed}",
        training_key(profile, kind, seed, removed),
        lambda folder: _train(profile, kind, seed, removed, f"{kind}, seed {seed}: {name}", folder),
    )


def _train(profile: profiles.Profile, kind: str, seed: int, removed: Sequence[str], title: str, folder: Path) -> None:
    from unlearnlib import batches, gradients, training
    from unlearnlib import models as base_models

    split = split_of(profile, seed)
    model, tokenizer = base_models.load(profile.base_model, on=profile.device)
    texts = {
        record.id: batches.encode_text(tokenizer, record.text, profile.max_tokens)
        for record in (*split.forget, *split.retain)
    }
    plan = training.Plan.of(profile)
    steps = training.schedule({name: len(ids) for name, ids in texts.items()}, plan, seed)
    # Whatever is trained without some texts is trained by the rule for that, and never reads them.
    texts = {name: ids for name, ids in texts.items() if name not in set(removed)}
    recorder, checkpoint = None, None
    if kind == "finetuned":
        recorder = gradients.Recorder(record.id for record in split.forget)

        def checkpoint(epoch: int) -> None:
            training.save_weights(folder, model, epoch)

    result = training.fine_tune(model, texts, steps, plan, removed, recorder, title, checkpoint)
    if kind in USUAL:
        training.save(folder, model, result, steps, plan, seed, removed=removed)
    else:
        training.save_weights(folder, model)
    if recorder:
        recorder.save(folder)


def main(arguments: list[str] | None = None) -> int:
    """Run one training job from the command line; exit status 2 with one line for wrong input."""
    parser = argparse.ArgumentParser(prog="python -m unlearnlib.jobs", description=__doc__)
    parser.add_argument("action", choices=["train"])
    parser.add_argument("--profile", default="small")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--kind", default="finetuned")
    given = parser.parse_args(arguments)
    try:
        print(*train(profiles.load(given.profile), given.kind, given.seed).values(), sep="\n")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
