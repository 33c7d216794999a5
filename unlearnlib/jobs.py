"""The training jobs: one model per seed and kind, each trained once and kept by content.

`python -m unlearnlib.jobs train --profile small --seed 3 --kind finetuned` trains one model, or finds it in the cache.
"""

import argparse
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from unlearnlib import cache as cached
from unlearnlib import data, paths, profiles
from unlearnlib import fingerprint as fingerprints
from unlearnlib.errors import UserError, nearest

# finetuned: on everything, recording the gradients of Dave's points; retrained: the reference, which never saw them.
KINDS = ("finetuned", "retrained")

# The fields of a profile that make a training plan; named here so that planning a run need not import torch.
PLAN = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "gradient_clip")

# What each notebook reads, for the order of a run; a notebook that is not named reads every training of its seeds.
NEEDS = {"00": (), "01": ()}


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


def training_key(profile: profiles.Profile, kind: str, seed: int) -> dict:
    """Return everything that a trained model depends on, and nothing else."""
    split = split_of(profile, seed)
    return {
        "kind": kind,
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
    return fingerprints.combine(training_key(profiles.load(profile_name), kind, seed))


def train(profile: profiles.Profile, kind: str, seed: int) -> Path:
    """Return the folder of a trained model (see unlearnlib.training.save), training it if the cache lacks it.

    A fine-tuned model's folder also holds the recorded gradients of the forget set. UserError for an unknown kind.
    """
    if kind not in KINDS:
        raise UserError(f"no kind of model {kind!r}: {nearest(kind, KINDS)}")
    return cached.folder(
        paths.runs() / profile.name / "cache",
        f"{kind}-seed{seed}",
        training_key(profile, kind, seed),
        lambda folder: _train(profile, kind, seed, folder),
    )


def _train(profile: profiles.Profile, kind: str, seed: int, folder: Path) -> None:
    from unlearnlib import batches, gradients, models, training

    split = split_of(profile, seed)
    model, tokenizer = models.load(profile.base_model, on=profile.device)
    texts = {
        record.id: batches.encode_text(tokenizer, record.text, profile.max_tokens)
        for record in (*split.forget, *split.retain)
    }
    plan = training.Plan.of(profile)
    steps = training.schedule({name: len(ids) for name, ids in texts.items()}, plan, seed)
    forget = [record.id for record in split.forget]
    if kind == "retrained":
        # The reference is trained by the rule of training without a text, and never reads the forget texts.
        texts = {name: ids for name, ids in texts.items() if name not in set(forget)}
        result = training.fine_tune(model, texts, steps, plan, removed=forget, progress=f"retraining, seed {seed}")
        training.save(folder, model, result, steps, plan, seed, removed=forget)
    else:
        recorder = gradients.Recorder(forget)
        result = training.fine_tune(model, texts, steps, plan, recorder=recorder, progress=f"fine-tuning, seed {seed}")
        training.save(folder, model, result, steps, plan, seed)
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
        print(train(profiles.load(given.profile), given.kind, given.seed))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
