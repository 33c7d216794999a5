"""Differential privacy: fine-tuning that never depended much on any one text, so that forgetting it is doing nothing.

DP-SGD (M. Abadi et al., Deep Learning with Differential Privacy, 2016, arXiv 1607.00133) by Opacus (A. Yousefpour et
al. 2021, arXiv 2109.12298), an optional extra: `pip install -e ".[privacy]"`. Sampling, clipping, noise and the
accountant are its own.

What is promised is about one text, added or left out: (epsilon, delta). A person of k texts is a group, for whom it is
(k epsilon, delta (e^(k epsilon) - 1) / (e^epsilon - 1)), which soon says nothing; see `group`. The base model's own
training is not covered, nor settings that were chosen on the data. Noise comes from a generator with a seed, so that a
run can be repeated: whoever wants the promise, and not the experiment, must not publish the seed.

How this model's traps are met: the tied embedding and learned positions, whose gradients of single texts need care,
are frozen, and some blocks alone are trained; GPT-2's Conv1D was made an ordinary linear layer at loading; the loss is
the mean over texts of each text's own mean, so that no text's gradient depends on another's length; an empty batch is
a step of noise alone.
"""

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.models.layers import resolve

PACKAGE, EXTRA = "opacus", 'pip install -e ".[privacy]"'


@dataclass(frozen=True)
class Training:
    """A training by DP-SGD: `noise`, in multiples of `clip` (0: none, and no promise); the norm to which each text's
    gradient is clipped; texts in a `batch`, on average; `epochs`; the learning rate of Adam; the `layers` that are
    trained (see unlearnlib.models.layers.resolve), which must not name an embedding."""

    noise: float
    clip: float = 1.0
    batch: int = 16
    epochs: int = 10
    learning_rate: float = 1e-3
    layers: str = "last_blocks"


@dataclass(frozen=True)
class Spent:
    """What the accountant needs of a training: noise multiplier, probability of each text to be in a batch, steps."""

    noise: float
    rate: float
    steps: int


def is_installed() -> bool:
    """Tell whether Opacus is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def need() -> None:
    """Raise UserError, with what installs it, where Opacus is not there."""
    if not is_installed():
        raise UserError(f"differential privacy needs the package {PACKAGE}, which is not installed: {EXTRA}")


def train(model, texts: Mapping[str, Sequence[int]], how: Training, seed: int = 0) -> Spent:
    """Train `model` in place on texts (token ids by id), and return what was spent.

    UserError where Opacus is missing, where there are no texts, for a noise or clip out of range, and for layers with
    an embedding.
    """
    need()
    _check(how, len(texts))
    names = sorted(texts)
    chosen = set(resolve(model, how.layers))
    if chosen & _tables(model):
        raise UserError(
            f"layers {how.layers!r} hold an embedding, which is frozen here: give blocks, such as 'last_blocks'"
        )
    given = {name: value.requires_grad for name, value in model.named_parameters()}
    for name, value in model.named_parameters():
        value.requires_grad_(name in chosen)
    try:
        return _train(model, [texts[name] for name in names], how, seed)
    finally:
        for name, value in model.named_parameters():
            value.requires_grad_(given[name])
        model.eval()


def _train(model, texts: Sequence[Sequence[int]], how: Training, seed: int) -> Spent:
    from opacus import PrivacyEngine
    from torch.utils.data import DataLoader, TensorDataset

    trained = [value for value in model.parameters() if value.requires_grad]
    draws, noise = (torch.Generator().manual_seed(2 * seed + number) for number in (0, 1))
    loader = DataLoader(TensorDataset(torch.arange(len(texts))), batch_size=min(how.batch, len(texts)), generator=draws)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is an experiment's generator, and not a secure one, is said above
        hooks, optimizer, loader = PrivacyEngine(accountant="rdp").make_private(
            module=model.train(),  # single gradients are kept in training mode alone; every dropout is zero
            optimizer=torch.optim.Adam(trained, lr=how.learning_rate),
            data_loader=loader,
            noise_multiplier=how.noise,
            max_grad_norm=how.clip,
            noise_generator=noise,
            wrap_model=False,
        )
        steps, where = 0, trained[0].device
        for _ in range(how.epochs):
            for (rows,) in loader:
                optimizer.zero_grad(set_to_none=True)
                if len(rows):
                    tokens, lengths = batches.pad([texts[row] for row in rows.tolist()])
                    batches.text_losses(model, tokens.to(where), lengths).mean().backward()
                else:
                    for value in trained:
                        value.grad_sample = torch.zeros((0, *value.shape), device=where)
                optimizer.step()
                steps += 1
        optimizer.zero_grad(set_to_none=True)
        hooks.cleanup()
    return Spent(how.noise, 1 / len(loader), steps)


def epsilon(spent: Spent, delta: float) -> float:
    """Return the epsilon, at this delta, of a training, for one text added or left out, by Opacus' accountant of Renyi
    differential privacy (an upper bound); infinity without noise. UserError for a delta outside (0, 1)."""
    if not 0 < delta < 1:
        raise UserError(f"delta {delta!r}: give one above 0 and below 1, less than one over the number of texts")
    if not spent.noise:
        return float("inf")
    need()
    from opacus.accountants import RDPAccountant

    accountant = RDPAccountant()
    accountant.history = [(spent.noise, spent.rate, spent.steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a better order than those that it tries may exist: the bound holds
        return float(accountant.get_epsilon(delta))


def noise_for(target: float, rate: float, steps: int, delta: float) -> float:
    """Return the noise multiplier that Opacus finds for an epsilon; UserError for one that is not above 0."""
    need()
    if not (target > 0 and 0 < delta < 1):
        raise UserError(f"epsilon {target!r} at delta {delta!r}: give an epsilon above 0, and a delta between 0 and 1")
    from opacus.accountants.utils import get_noise_multiplier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(
            get_noise_multiplier(
                target_epsilon=target, target_delta=delta, sample_rate=rate, steps=steps, accountant="rdp"
            )
        )


def group(epsilon: float, delta: float, size: int) -> tuple[float, float]:
    """Return the (epsilon, delta) that hold for a group of so many records where (epsilon, delta) hold for one.

    From the definition, applied `size` times: epsilons add up, and each delta counts e^epsilon times more often than
    the next. A delta of 1 or more promises nothing, and is returned as (infinity, 1). UserError for an empty group.
    """
    if size < 1:
        raise UserError(f"a group of {size}: give at least one record")
    if not np.isfinite(epsilon):
        return float("inf"), 1.0
    exponents = epsilon * np.arange(size)
    whole = np.exp(np.logaddexp.reduce(exponents) + np.log(delta)) if delta else 0.0
    return (size * epsilon, float(whole)) if whole < 1 else (float("inf"), 1.0)


def _check(how: Training, count: int) -> None:
    if not count:
        raise UserError("nothing to train on: there are no texts")
    if how.noise < 0 or not how.clip > 0 or how.batch < 1 or how.epochs < 1:
        raise UserError(
            f"noise {how.noise}, clip {how.clip}, batch {how.batch}, epochs {how.epochs}: give 0 or more, above 0, 1, 1"
        )


def _tables(model) -> set[str]:
    """Return the names of the parameters of every table of embeddings, tied or not, and of the output layer."""
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    output = model.get_output_embeddings()
    held = {
        id(value) for module in [*tables, *([output] if output is not None else [])] for value in module.parameters()
    }
    return {name for name, value in model.named_parameters() if id(value) in held}
