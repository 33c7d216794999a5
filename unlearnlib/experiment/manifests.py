"""A replay of one seed's training that another program checks, also when somebody has changed what it is given."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from safetensors.torch import load_file, save_file

from unlearnlib.core import cache, definitions, paths
from unlearnlib.experiment.measured import Experiment
from unlearnlib.guarantees import manifest
from unlearnlib.training import replay


def written(experiment: Experiment) -> Path:
    """Return the folder of a manifest (see unlearnlib.guarantees.manifest): the fine-tuning replayed without the forget
    set, written once."""
    removed = experiment.setting.against.without

    def compute(target: Path) -> None:
        split, profile = experiment.split, experiment.profile
        texts = {record.id: record.text for record in (*split.retain, *split.remaining)}
        folder = experiment.folder("finetuned")
        manifest.write(target, folder, profile.base_model, texts, removed, profile.max_tokens, profile.device)

    key = {
        "training": experiment.fingerprint("finetuned"),
        "removed": sorted(removed),
        "code": definitions.code(manifest.write),
    }
    root = paths.cache_folder(experiment.profile.name)
    return cache.folder(root, f"manifest-seed{experiment.seed}", key, compute)


def verified(experiment: Experiment) -> pd.DataFrame:
    """Return what `python -m unlearnlib.verify` says of the manifest of this seed, and of copies that somebody
    changed, a row each (cached): case, exit (0: verified), line, and seconds (by the clock).

    Cases: as written; a learning rate in the log changed by a millionth, and the log's hash in the manifest too; a
    removed text named as not removed; one bit of the model. The first also says whether the model is the retrained
    one.
    """

    def compute() -> pd.DataFrame:
        original, rows = written(experiment), []
        named = json.loads((original / manifest.NAME).read_text())["model"]["parameters"]
        same = replay.stored_digest(experiment.folder("retrained"))["parameters"] == named
        folder = paths.data_folder(experiment.profile.data)
        for case, change in CHANGES.items():
            with tempfile.TemporaryDirectory() as place:
                copy = Path(place) / "given"
                shutil.copytree(original, copy)
                change(copy)
                started = time.perf_counter()
                asked = [sys.executable, "-m", "unlearnlib.verify", str(copy / manifest.NAME), "--texts", str(folder)]
                done = subprocess.run(asked, cwd=paths.ROOT, capture_output=True, text=True)
                rows.append((case, done.returncode, done.stdout.strip(), time.perf_counter() - started, same))
        return pd.DataFrame(rows, columns=["case", "exit", "line", "seconds", "retrained"])

    training = experiment.fingerprint("finetuned")
    return experiment.table(
        "verified", {"of": training, "code": definitions.code("unlearnlib.verify.checking")}, compute
    )


def _log_changed(folder: Path) -> None:
    path = folder / manifest.LOG
    log = json.loads(path.read_text())
    log["steps"][len(log["steps"]) // 2]["learning_rate"] *= 1 + 1e-6
    path.write_text(json.dumps(log))
    _told(folder, lambda told: told["log"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


def _one_not_removed(folder: Path) -> None:
    _told(folder, lambda told: told.update(removed=told["removed"][1:]))


def _one_bit(folder: Path) -> None:
    path = folder / manifest.WEIGHTS
    weights = load_file(path)
    value = weights[sorted(weights)[0]].view(-1)
    bits = value[:1].numpy().view("u4")
    bits ^= 1
    save_file(weights, path)


def _told(folder: Path, change: Callable) -> None:
    path = folder / manifest.NAME
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))


AS_WRITTEN = "as written"
CHANGES: dict[str, Callable[[Path], None]] = {
    AS_WRITTEN: lambda folder: None,
    "a learning rate of the log, by a millionth, and its hash too": _log_changed,
    "a removed text, said to be in the training": _one_not_removed,
    "one bit of the model": _one_bit,
}
