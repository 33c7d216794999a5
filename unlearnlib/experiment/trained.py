"""Every model is trained once and kept by content: what its key holds is all that it depends on, and nothing else."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path

from unlearnlib.core import cache as cached
from unlearnlib.core import definitions, paths
from unlearnlib.core import fingerprint as fingerprints
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment.setting import ModelId, split_of, stages_of
from unlearnlib.models import packaged

TRAINED_BY = "unlearnlib.experiment.trained:_train"

# What a model's key holds as data, not as code; and what only looks whether the data will do.
KEYED = tuple(
    f"unlearnlib.{name}"
    for name in ("data.records", "data.split", "data.subsets", "core.profiles", "experiment.setting", "experiment.fit")
)

# The fields of a profile that make a training plan; named here so that planning a run need not import torch.
PLAN = ("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "gradient_clip")

# What a training that leaves its log has cost: seconds (CPU time of the process), and what of it the recording took.
COST = "cost.json"


@cache
def base_fingerprint(base_model: str) -> str:
    """Return what identifies the base model: the content of a local folder, or of the file in a package, else its name
    on the hub."""
    if one := packaged.known(base_model):
        return f"{base_model} {one.sha256} {packaged.CONVERSION}"
    folder = next((path for path in (paths.ROOT / base_model, Path(base_model)) if path.is_dir()), None)
    if not folder:
        return base_model
    files = [
        path for path in sorted(folder.iterdir()) if path.suffix in (".safetensors", ".bin", ".json", ".txt", ".model")
    ]
    return fingerprints.files(*[path for path in files if path.name != "recipe.json"])


def training_key(profile: Profile, model: ModelId) -> dict:
    """Return everything that a trained model depends on, and nothing else."""
    split = split_of(profile, model.seed)
    stages = [[record.id for record in stage] for stage in stages_of(split, True)] if model.late else None
    return {
        "keep": sorted(model.keep),
        "removed": sorted(model.without),
        "seed": model.order_seed,
        "base": base_fingerprint(profile.base_model),
        "plan": {name: getattr(profile, name) for name in PLAN},
        "max_tokens": profile.max_tokens,
        **{name: version(name) for name in ("torch", "transformers", "numpy")},
        "device": profile.device if profile.device == "cpu" else str(_device(profile.device)),
        "texts": {record.id: record.text for record in (*split.forget, *split.retain)},
        "forget": [record.id for record in split.forget],
        "stages": stages,
        "states": profile.checkpoint_steps if "states" in model.keep else None,
        "code": definitions.code(TRAINED_BY, without=KEYED),
    }


def _device(name: str):
    from unlearnlib.models.loading import device

    return device(name)


def fingerprint(profile: Profile, model: ModelId) -> str:
    """Return a short hash of all that one trained model depends on."""
    return fingerprints.combine(training_key(profile, model))


def folder(profile: Profile, model: ModelId) -> Path:
    """Return the folder of one trained model, trained now if it is missing.

    It holds the weights, and what the model's `keep` names: the log (see unlearnlib.training.storage.save), the states
    for a replay, the recorded gradients of the forget set with the second moments, the weights after every epoch.
    """
    return cached.folder(*_entry(profile, model))


@contextmanager
def borrowed(profile: Profile, model: ModelId) -> Iterator[Path]:
    """Yield the folder of one trained model for as long as it is looked at: where it is missing, the model is trained
    for it and let go afterwards."""
    with cached.borrowed(*_entry(profile, model)) as found:
        yield found


def _entry(profile: Profile, model: ModelId) -> tuple:
    """Return the root, the kind, the key and the computation of a model's entry in the cache."""
    key = training_key(profile, model)

    def train_now(target: Path) -> None:
        definitions.check_unchanged(part.partition(":")[0] for part in definitions.of(TRAINED_BY, without=KEYED))
        _train(profile, model, target)

    return paths.cache_folder(profile.name), f"{model.family}-seed{model.seed}", key, train_now


def _train(profile: Profile, model_id: ModelId, target: Path) -> None:
    from unlearnlib.data import batches
    from unlearnlib.experiment import fit
    from unlearnlib.gradients.record import Recorder
    from unlearnlib.models import loading
    from unlearnlib.training import storage
    from unlearnlib.training.loop import fine_tune
    from unlearnlib.training.schedule import Plan, last_of_epochs, staged

    split, removed, keep = split_of(profile, model_id.seed), model_id.without, model_id.keep
    model, tokenizer = loading.load(profile.base_model, on=profile.device)
    fit.check(profile, split, model, tokenizer)
    texts = {
        record.id: batches.encode_text(tokenizer, record.text, profile.max_tokens)
        for record in (*split.forget, *split.retain)
    }
    plan = Plan.of(profile)
    lengths = [{record.id: len(texts[record.id]) for record in stage} for stage in stages_of(split, model_id.late)]
    steps = staged(lengths, plan, model_id.order_seed)
    # Whatever is trained without some texts is trained by the rule for that, and never reads them.
    texts = {name: ids for name, ids in texts.items() if name not in set(removed)}
    points = [record.id for record in split.forget]
    recorder = None
    if "record" in keep:
        recorder = Recorder(points)
    elif "joined record" in keep:
        recorder = Recorder(points, point_epochs=(), joined_from=1)
    ends = last_of_epochs(steps)
    states = _states(steps, plan.epochs, profile.checkpoint_steps) if "states" in keep else set()

    def after_step(step, optimizer) -> None:
        if "epochs" in keep and step.step == ends[step.epoch] and step is not steps[-1]:
            storage.save_weights(target, model, step.epoch)
        if step.step in states:
            storage.save_state(target, model, optimizer, step.step)

    title = f"{model_id.name}, seed {model_id.seed}"
    started = time.process_time()
    result = fine_tune(model, texts, steps, plan, removed, recorder, title, after_step)
    spent = {"seconds": time.process_time() - started, "recording": recorder.seconds if recorder else 0.0}
    if "log" in keep:
        (target / COST).write_text(json.dumps(spent))
        storage.save(target, model, result, steps, plan, model_id.order_seed, removed, moments=recorder is not None)
    else:
        storage.save_weights(target, model)
    if "epochs" in keep:
        storage.keep_last_epoch(target, steps[-1].epoch)
    if recorder:
        recorder.save(target)


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
