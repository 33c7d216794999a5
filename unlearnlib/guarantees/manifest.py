"""What somebody else needs to check a removal by replay: a folder with the log, the unlearned weights, and a manifest.

The manifest names the log and the weights by their sha256, the base model by that of its parameters, every text that is
left by that of its words, and the ids of those that were removed; of these nothing else is kept, for a hash of a short
text can be guessed. `python -m unlearnlib.verify manifest.json` reads it, and replays.
"""

import hashlib
import json
import platform
import shutil
from collections.abc import Collection, Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.models import loading
from unlearnlib.training import replay, storage

NAME, LOG, WEIGHTS = "manifest.json", "schedule.json", "weights.safetensors"


def write(
    target: Path,
    folder: Path,
    base_model: str,
    texts: Mapping[str, str],
    removed: Collection[str],
    max_tokens: int | None = None,
    device: str = "cpu",
) -> Path:
    """Replay the training log in `folder` without the texts `removed`, write log, weights and manifest into `target`,
    and return the manifest's path.

    texts: the words of the other texts, by id. UserError for an id that the log does not know, for a text that is
    missing, and for a folder without a log.
    """
    target, folder = Path(target), Path(folder)
    log = replay.log_of(folder)
    gone = sorted({*removed, *log.removed})
    named = {name for step in log.steps for name in step.ids}
    missing = sorted(named - set(gone) - set(texts))
    if missing:
        raise UserError(f"no text for {missing[0]!r}, which the log names: give it, or remove it")
    base, tokenizer = loading.load(base_model, on=device)
    tokens = {name: batches.encode_text(tokenizer, texts[name], max_tokens) for name in sorted(named - set(gone))}
    before = replay.digest(base)["parameters"]
    done = replay.replay(folder, base, tokens, removed)
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / LOG, target / LOG)
    storage.save_parameters(target / WEIGHTS, base)
    manifest = {
        "log": {"file": LOG, "sha256": log.sha256, "steps": len(log.steps)},
        "removed": gone,
        "texts": {name: hashlib.sha256(texts[name].encode()).hexdigest() for name in tokens},
        "tokens": hashlib.sha256(json.dumps(tokens, sort_keys=True).encode()).hexdigest(),
        "base": {"model": base_model, "parameters": before},
        "model": {"file": WEIGHTS, **done.manifest["sha256 after"]},
        "made with": made_with(device),
    }
    path = target / NAME
    path.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    return path


def made_with(device: str) -> dict[str, str]:
    """Return what the last digits of a replay depend on beside the log: libraries, processor, device, threads."""
    return {
        **{name: version(name) for name in ("torch", "transformers")},
        "processor": platform.machine(),
        "device": device,
        "threads": str(torch.get_num_threads()),
    }
