"""Is a model what its training log gives without some texts? Written from the rule, not from the code that trained it.

It knows the log, the hashes of the texts that are left, and the base model, and takes every step again from there: a
removed text leaves its slot empty, the loss is divided by the texts that are left, a step with none left is no step.
What is removed it never reads. Bits are compared, so there is no tolerance in which a forged log could hide.

What it cannot prove: that the log is what happened. Whoever trained on a text may write down a training without it, and
hand in that training's model; batches can even be looked for that lead to nearly the same weights without a text
(forging: A. Thudi, H. Jia, I. Shumailov, N. Papernot, On the Necessity of Auditable Algorithmic Definitions for
Machine Unlearning, 2021, arXiv 2110.11891, as we read its abstract). So a manifest says which computation gives this
model, not what else was done with a text; and bits are the same on one kind of machine, with the same libraries and
one thread.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from unlearnlib.core.errors import UserError
from unlearnlib.data.batches import encode_text

# What a manifest and a log hold, by name: a type, a dict of more such, or [type] for a list and {type} for a mapping.
Number = (int, float)
MANIFEST = {
    "log": {"file": str, "sha256": str, "steps": int},
    "removed": [str],
    "texts": {str},
    "tokens": str,
    "base": {"model": str, "parameters": str},
    "model": {"file": str, "parameters": str, "optimizer": str},
    "made with": {"torch": str, "transformers": str, "device": str, "threads": str},
}
STEP = {"step": int, "ids": [str], "width": int, "learning_rate": Number}
LOG = {
    "steps": list,
    "removed": [str],
    "plan": {"learning_rate": Number, "weight_decay": Number, "gradient_clip": Number},
}


def verify(manifest: Path, texts: Path) -> str:
    """Return a line that says what was verified; UserError, which names what does not match, where anything does not.

    manifest: the file that unlearnlib.guarantees.manifest wrote, with log and weights beside it; texts: a folder of
    JSONL files, whose rows have a `text`. What is cheap to find out is looked at before anything is computed.
    """
    told = _read(manifest)
    log = _log(manifest.parent, told)
    removed = set(told["removed"])
    named = {name for step in log["steps"] for name in step["ids"]}
    _check_ids(told, named, removed, log)
    _check_weights(manifest.parent, told)
    words = _texts(told["texts"], texts)
    from unlearnlib.models.loading import load  # seconds of imports, which what is already found out need not wait for

    torch.set_num_threads(int(told["made with"]["threads"]))
    model, tokenizer = load(told["base"]["model"], on=told["made with"]["device"])
    _same(told["base"]["parameters"], digest(dict(model.named_parameters())), "the base model")
    tokens = {name: encode_text(tokenizer, words[name]) for name in sorted(words)}
    _same(told["tokens"], hashlib.sha256(json.dumps(tokens, sort_keys=True).encode()).hexdigest(), "a token")
    _check_widths(log["steps"], tokens)
    taken, moments = retrain(model, log["steps"], log["plan"], tokens)
    for what, tensors in (("parameters", dict(model.named_parameters())), ("optimizer", moments)):
        if digest(tensors) != told["model"][what]:
            raise UserError(f"the replay does not give the {what} that the manifest names{_otherwise(told)}")
    return (
        f"verified: {taken} steps taken again from {told['base']['model']}, without {len(removed)} of {len(named)} "
        "texts, give these parameters and this optimizer, bit by bit"
    )


def retrain(model, steps, plan: Mapping[str, Any], tokens: Mapping[str, list[int]]) -> tuple[int, dict]:
    """Take the steps of a log over the texts that are there, in place; return how many were taken, and the optimizer's
    moments and counters by name."""
    where = next(model.parameters()).device
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=plan["learning_rate"], weight_decay=plan["weight_decay"], fused=True
    )
    taken = 0
    model.eval()
    for step in steps:
        rows = [tokens[name] for name in step["ids"] if name in tokens]
        if not rows:
            continue
        padded = torch.tensor([[*row, *[0] * (step["width"] - len(row))] for row in rows], device=where)
        # Every text counts alike, whatever its length: the mean over its own next tokens.
        shares = torch.zeros(len(rows), step["width"] - 1, device=where)
        for share, row in zip(shares, rows, strict=True):
            share[: len(row) - 1] = 1 / torch.tensor(float(len(row) - 1))
        following = torch.cat([padded[:, 1:], torch.full((len(rows), 1), -100, device=where)], 1)
        scores = model(padded).logits
        surprise = cross_entropy(scores.flatten(0, 1), following.flatten(), reduction="none")
        (((surprise.view(following.shape)[:, :-1] * shares).sum(1)).sum() / len(rows)).backward()
        if plan["gradient_clip"]:
            torch.nn.utils.clip_grad_norm_(model.parameters(), plan["gradient_clip"])
        for group in optimizer.param_groups:
            group["lr"] = step["learning_rate"]
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        taken += 1
    kept = {
        f"{what}|{name}": value
        for name, parameter in model.named_parameters()
        for what, value in optimizer.state.get(parameter, {}).items()
    }
    return taken, kept


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the sha256 of named tensors: of each, in the order of names, `name|type|shape|` and then its bytes."""
    whole = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        value = value.detach().cpu().contiguous()
        whole.update(f"{name}|{value.dtype}|{tuple(value.shape)}|".encode() + value.numpy().tobytes())
    return whole.hexdigest()


def _read(path: Path) -> dict:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(f"no manifest {path.name!r} there: give the path of a manifest.json") from None
    except ValueError:
        raise UserError(f"the manifest {path.name!r} is not JSON: it is damaged, or another file") from None
    if not isinstance(told, dict):
        raise UserError(f"the manifest {path.name!r} is no object with names: it is damaged, or another file")
    if lacking := _lacking(told, MANIFEST):
        raise UserError(f"the manifest lacks {lacking!r} as it should be: it is damaged, or of another kind")
    threads = told["made with"]["threads"]
    if not (threads.isdecimal() and int(threads)):
        raise UserError(f"the manifest was made with {threads!r} threads: it is damaged")
    return told


def _lacking(told: Any, wanted: Any, name: str = "") -> str:
    """Return the name of the first part that is not there, or not of its type; empty where all is as it should be."""
    if isinstance(wanted, dict):
        if not isinstance(told, dict):
            return name or "all"
        inner = (_lacking(told.get(key), kind, f"{name} {key}".strip()) for key, kind in wanted.items())
        return next(filter(None, inner), "")
    if isinstance(wanted, list):
        fits = isinstance(told, list) and all(isinstance(one, wanted[0]) for one in told)
    elif isinstance(wanted, set):
        (kind,) = wanted
        fits = isinstance(told, dict) and all(isinstance(one, kind) for one in told.values())
    else:
        fits = isinstance(told, wanted) and not isinstance(told, bool)
    return "" if fits else name


def _log(folder: Path, told: Mapping) -> dict:
    path = folder / Path(told["log"]["file"]).name
    try:
        written = path.read_bytes()
    except OSError:
        raise UserError(f"no log {path.name!r} beside the manifest: copy the whole folder") from None
    _same(told["log"]["sha256"], hashlib.sha256(written).hexdigest(), f"the log {path.name}")
    try:
        log = json.loads(written)
    except ValueError:
        raise UserError(f"the log {path.name} cannot be read as one of a training") from None
    lacking = _lacking(log, LOG)
    steps = (_lacking(step, STEP, f"step {number}") for number, step in enumerate([] if lacking else log["steps"]))
    if lacking := lacking or next(filter(None, steps), ""):
        raise UserError(f"the log {path.name} cannot be read as one of a training: {lacking!r} is not as it should be")
    numbers = [step["step"] for step in log["steps"]]
    if numbers != list(range(len(numbers))) or len(numbers) != told["log"]["steps"]:
        raise UserError(f"the log {path.name} has a step too few or too many: {len(numbers)} of {told['log']['steps']}")
    return log


def _check_ids(told: Mapping, named: set[str], removed: set[str], log: Mapping) -> None:
    both = sorted(removed & set(told["texts"]))
    if both:
        raise UserError(f"text {both[0]!r} is removed and used, by the same manifest")
    back = sorted(set(log["removed"]) - removed)
    if back:
        raise UserError(f"text {back[0]!r} was missing in the logged training and is not removed here")
    unknown = sorted((removed | set(told["texts"])) - named - set(log["removed"]))
    if unknown:
        raise UserError(f"text {unknown[0]!r} of the manifest is in no step of the log: is it the log of another run?")
    without = sorted(named - removed - set(told["texts"]))
    if without:
        raise UserError(f"text {without[0]!r} of the log is neither removed nor named by its hash in the manifest")


def _check_widths(steps, tokens: Mapping[str, list[int]]) -> None:
    for step in steps:
        longest = max((len(tokens[name]) for name in step["ids"] if name in tokens), default=0)
        if longest > step["width"]:
            raise UserError(
                f"step {step['step']} of the log is {step['width']} tokens wide, and has a text of {longest}"
            )


def _check_weights(folder: Path, told: Mapping) -> None:
    path = folder / Path(told["model"]["file"]).name
    try:
        found = digest(load_file(path))
    except (OSError, SafetensorError):
        raise UserError(f"no model {path.name!r} that can be read beside the manifest") from None
    _same(told["model"]["parameters"], found, f"the model {path.name}")


def _texts(hashes: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return the words behind the hashes, by id, from wherever in the folder's files they stand."""
    known = {}
    if not folder.is_dir():
        raise UserError(f"no folder {folder.name!r} of texts there: give one with *.jsonl files as --texts")
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines():  # a file that is no text holds none that is looked for
            try:
                text = json.loads(line).get("text")
            except (ValueError, AttributeError):
                continue
            if isinstance(text, str):
                known[hashlib.sha256(text.encode()).hexdigest()] = text
    for name, wanted in sorted(hashes.items()):
        if wanted not in known:
            raise UserError(f"text {name!r} is missing, or changed: no text in {folder.name}/*.jsonl has its hash")
    return {name: known[wanted] for name, wanted in hashes.items()}


def _same(told: str, found: str, what: str) -> None:
    if told != found:
        raise UserError(f"{what} is not what the manifest names (sha256 {found[:12]}, not {str(told)[:12]})")


def _otherwise(told: Mapping) -> str:
    """Return where this machine is another one than that of the manifest, as far as is known."""
    from importlib.metadata import version

    here = {name: version(name) for name in ("torch", "transformers")}
    other = [f"{name} {told['made with'][name]}" for name in here if here[name] != told["made with"][name]]
    return f" (it was made with {', '.join(other)})" if other else ""
