"""Per-example gradients of a small GPT-2: the closed form of this package beside the other ways, as ratios.

`python benchmarks/gradients.py` prints a markdown table. Every way makes the dense gradient of every text. All but one
hand over the gradients of all texts at once; "one by one" is this package's own way, each dropped when it was used.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timing
import torch
from torch.func import functional_call, grad, vmap
from transformers import GPT2Config, GPT2LMHeadModel

from unlearnlib.data import batches
from unlearnlib.gradients import algebra, per_example
from unlearnlib.models.layers import resolve
from unlearnlib.models.linear import use_linear_layers


def make_model(vocabulary: int, width: int, blocks: int = 12):
    """Return a GPT-2 with random weights, no dropout, and the activation and linear layers that
    unlearnlib.models.loading.load gives it."""
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocabulary,
        n_positions=128,
        n_embd=width,
        n_layer=blocks,
        n_head=4,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=0,
        eos_token_id=0,
    )
    return use_linear_layers(GPT2LMHeadModel(config).eval())


def batch_gradient(model, tokens, lengths):
    """One ordinary backward pass over the batch: what everything is measured against."""
    loss = batches.text_losses(model, tokens, lengths).mean()
    return torch.autograd.grad(loss, list(model.parameters()))


def closed_form(model, sequences, layers):
    """This package: products of captured activations and output gradients."""
    return per_example.per_example_gradients(model, sequences, algebra.parts_of(resolve(model, layers)))


def naive_loop(model, sequences, names):
    """One backward pass a text."""
    parameters = dict(model.named_parameters())
    found = []
    for sequence in sequences:
        tokens, lengths = batches.pad([sequence])
        loss = batches.text_losses(model, tokens, lengths).sum()
        found.append(dict(zip(names, torch.autograd.grad(loss, [parameters[name] for name in names]), strict=True)))
    return found


def vectorised(model, tokens):
    """torch.func: the gradient of one text's loss, vectorised over texts."""
    # named_parameters, not the state dict: it names the tied embedding once.
    parameters = {name: value.detach() for name, value in model.named_parameters()}

    def loss(values, row):
        logits = functional_call(model, values, (row[None],)).logits
        return torch.nn.functional.cross_entropy(logits[0, :-1], row[1:])

    return vmap(grad(loss), in_dims=(None, 0))(parameters, tokens)


def opacus_contender(model, tokens, lengths) -> dict:
    """Return Opacus over a model of its own, into which it puts its hooks, or nothing where it is not installed."""
    try:
        from opacus.grad_sample import GradSampleModule
    except ImportError:
        return {}
    # In eval mode Opacus records nothing; the model has no dropout.
    wrapped = GradSampleModule(model.train(), loss_reduction="sum")
    return {"Opacus, all": lambda: opacus_gradients(wrapped, tokens, lengths)}


def opacus_gradients(wrapped, tokens, lengths):
    """Opacus: hooks that fill `grad_sample` during one backward pass."""
    wrapped.zero_grad(set_to_none=True)
    # Positions are given for every text: Opacus takes the first dimension of every input to be the batch.
    positions = torch.arange(tokens.shape[1]).expand(tokens.shape)
    logits = wrapped(tokens, position_ids=positions).logits
    weights = batches.label_weights(lengths, tokens.shape[1])
    (batches.token_losses(logits, tokens) * weights).sum().backward()
    found = {name: value.grad_sample for name, value in wrapped._module.named_parameters()}
    wrapped.zero_grad(set_to_none=True)
    return found


def compare(model, contenders) -> dict[str, float]:
    """Return, for each other way of all layers, its largest relative difference from ours over the texts."""
    everything = resolve(model, "all")
    ours = [algebra.select(found, everything) for found in contenders["closed form, all"]()]
    errors = {}
    for name, contender in contenders.items():
        if not name.endswith(", all") or name.startswith("closed form"):
            continue
        found = contender()
        if not isinstance(found, list):
            found = [{key: value[row] for key, value in found.items()} for row in range(len(ours))]
        errors[name] = max(
            algebra.norm({key: mine[key] - other[key] for key in mine}) / algebra.norm(mine)
            for mine, other in zip(ours, found, strict=True)
        )
    return errors


def main() -> None:
    """Measure, check that all ways agree, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--keep-memory", action="store_true", help="let the process keep memory it has freed (glibc)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.keep_memory:
        timing.keep_memory()
    model = make_model(given.vocabulary, given.width)
    sequences = torch.randint(given.vocabulary, (given.texts, given.tokens)).tolist()
    tokens, lengths = batches.pad(sequences)
    names = [name for name, _ in model.named_parameters()]
    blocks = list(resolve(model, "last_blocks"))

    contenders = {
        "batch gradient": lambda: batch_gradient(model, tokens, lengths),
        "closed form, all": lambda: list(closed_form(model, sequences, "all")),
        "closed form, all, one by one": lambda: sum(1 for _ in closed_form(model, sequences, "all")),
        "closed form, embedding": lambda: list(closed_form(model, sequences, "embedding")),
        "closed form, two blocks": lambda: list(closed_form(model, sequences, "last_blocks")),
        "naive loop, all": lambda: naive_loop(model, sequences, names),
        "naive loop, embedding": lambda: naive_loop(model, sequences, ["transformer.wte.weight"]),
        "naive loop, two blocks": lambda: naive_loop(model, sequences, blocks),
        "torch.func.vmap, all": lambda: vectorised(model, tokens),
    }
    contenders |= opacus_contender(make_model(given.vocabulary, given.width), tokens, lengths)
    errors = compare(model, contenders)
    seconds = timing.medians(contenders, given.repeats)
    bars = {"closed form, all": 1.1, "closed form, embedding": 0.9}
    rows = []
    for name, value in seconds.items():
        ratio = value / seconds["batch gradient"]
        faster = seconds[f"naive loop, {name.split(', ')[1]}"] / value if ", " in name else 0.0
        rows.append(
            [
                name,
                f"{ratio:.2f}",
                f"{faster:.1f}" if faster else "",
                f"{errors[name]:.0e}" if name in errors else "",
                timing.verdict(ratio, bars[name]) if name in bars else "",
            ]
        )
    shape = f"GPT-2 of 12 blocks x {given.width}, vocabulary {given.vocabulary}"
    print(f"{shape}, {given.texts} texts of {given.tokens} tokens.")
    opacus = "Opacus, all"
    print(timing.conditions(given.repeats) + (f", opacus {timing.version('opacus')}" if opacus in seconds else ""))
    print(f"Freed memory {'is kept by the process' if given.keep_memory else 'goes back to the system'}.")
    print(f"One batch gradient: {seconds['batch gradient']:.2f} s.\n")
    print(timing.table(["per-example gradients", "batch gradients", "faster than the loop", "error", "bar"], rows))
    if opacus in seconds:
        gain = seconds[opacus] / seconds["closed form, all"]
        print(f"\n{opacus} / closed form, all: {gain:.2f} ({timing.verdict(gain, 1.5, at_least=True)})")


if __name__ == "__main__":
    main()
