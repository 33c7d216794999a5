"""What is kept of a training: weights, states, the log, and their digests."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from unlearnlib.core.errors import UserError
from unlearnlib.training.loop import Result, new_optimizer
from unlearnlib.training.schedule import Plan, Step

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps of every parameter


def save(
    folder: Path, model, result: Result, steps: Sequence[Step], plan: Plan, seed: int, removed=(), moments: bool = True
) -> None:
    """Write the trained model's weights and the training log into `folder`, a sha256 of the optimizer's whole state,
    and with `moments` the second moments of its gradients, which is all that is read of it later."""
    save_weights(folder, model)
    state = optimizer_state(model, result.optimizer)
    (folder / "optimizer.json").write_text(json.dumps({"sha256": digest_of(state)}))
    if moments:
        prefix = "exp_avg_sq|"
        seconds = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        save_file(seconds, folder / "second_moments.safetensors")
    result.log.to_csv(folder / "log.csv", index=False)
    record = {
        "seed": seed,
        "plan": asdict(plan),
        "removed": sorted(removed),
        "steps": [asdict(step) for step in steps],
    }
    (folder / "schedule.json").write_text(json.dumps(record))


def optimizer_state(model, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimizer's moments and step counters as tensors named `<what>|<parameter>`; nothing before the first
    step."""
    return {
        f"{what}|{name}": optimizer.state[value][what].detach().contiguous().cpu()
        for name, value in model.named_parameters()
        for what in MOMENTS
        if value in optimizer.state
    }


def save_state(folder: Path, model, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write all that the step after `step` depends on into `folder`: parameters, moments, step counters."""
    parameters = {f"parameter|{name}": value.detach().contiguous().cpu() for name, value in model.named_parameters()}
    save_file({**parameters, **optimizer_state(model, optimizer)}, _state(folder, step))


def load_state(folder: Path, model, plan: Plan, step: int) -> torch.optim.Optimizer:
    """Put the parameters as they were after `step` into `model`, in place, and return the optimizer as it was then."""
    stored = load_file(_state(folder, step))
    _put(model, {name: stored[f"parameter|{name}"] for name, _ in model.named_parameters()})
    optimizer = new_optimizer(model, plan)
    for name, value in model.named_parameters():
        if f"step|{name}" in stored:
            moments = {what: stored[f"{what}|{name}"] for what in MOMENTS}
            # A counter stays where the optimizer keeps it, on the CPU or beside the moments.
            optimizer.state[value] = {what: tensor.to(value.device) for what, tensor in moments.items()}
    return optimizer


def saved_states(folder: Path) -> list[int]:
    """Return the numbers of the steps whose states were saved in `folder`, in order."""
    return sorted(int(path.stem.rpartition("-")[2]) for path in folder.glob("state-after-step-*.safetensors"))


def _state(folder: Path, step: int) -> Path:
    return folder / f"state-after-step-{step}.safetensors"


def save_weights(folder: Path, model, epoch: int | None = None) -> None:
    """Write the model's weights into `folder`: those of the end of training, or a checkpoint, after this epoch."""
    save_parameters(_weights(folder, epoch), model)


def save_parameters(path: Path, model) -> None:
    """Write a model's parameters into a file."""
    save_file({name: value.detach().contiguous().cpu() for name, value in model.named_parameters()}, path)


def load_parameters(path: Path, model) -> None:
    """Put the parameters that save_parameters wrote into `model`, in place; UserError for those of another model."""
    stored = load_file(path)
    if stored.keys() != dict(model.named_parameters()).keys():
        raise UserError(f"{path.parent}: these weights belong to another model; delete the folder and run again")
    _put(model, stored)


def load_weights(model, folder: Path, epoch: int | None = None) -> None:
    """Put the weights that save_weights wrote into `model`, in place; UserError where there are none, or others."""
    path = _weights(folder, epoch)
    if not path.is_file():
        raise UserError(
            f"no {path.name} in {folder}: this model was saved without it; delete the folder and run again"
            if epoch is None
            else f"no weights after epoch {epoch} in {folder.name}: they are kept for the seeds in halves_seeds and "
            "left_out_seeds of the profile; add the seed to one of them"
        )
    load_parameters(path, model)


def _put(model, values: Mapping[str, torch.Tensor]) -> None:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in values.items():
            parameters[name].copy_(value)


def _weights(folder: Path, epoch: int | None) -> Path:
    return folder / ("weights.safetensors" if epoch is None else f"weights-after-epoch-{epoch}.safetensors")


def keep_last_epoch(folder: Path, epoch: int) -> None:
    """Let the weights after the last epoch be those of the end of training: one file under both names."""
    try:
        os.link(_weights(folder, None), _weights(folder, epoch))
    except OSError:  # a file system without links
        shutil.copy(_weights(folder, None), _weights(folder, epoch))


def second_moments(folder: Path) -> dict[str, torch.Tensor]:
    """Return the optimizer's second moments (Adam's running mean of squared gradients) at the end of training."""
    return load_file(folder / "second_moments.safetensors")


def digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return a sha256 over named tensors: names, types, shapes and bytes, in the order of the names."""
    whole = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        whole.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode())
        whole.update(value.reshape(-1).view(torch.uint8).numpy().tobytes())
    return whole.hexdigest()
