"""Products with the Hessian and the Gauss-Newton matrix, and gradient dot products, as multiples of one gradient.

`python benchmarks/curvature.py` prints a markdown table.
"""

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timing
import torch
from recording import make_model

from unlearnlib.data import batches
from unlearnlib.influence import curvature, scores
from unlearnlib.models.layers import resolve


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--texts", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    given = parser.parse_args()
    torch.set_num_threads(1)
    shape = {"vocab_size": 2048, "n_positions": 128, "n_embd": 128, "n_layer": 12, "n_head": 4}
    model = make_model(**shape)
    sequences = torch.randint(shape["vocab_size"], (given.texts, given.tokens)).tolist()
    tokens, lengths = batches.pad(sequences)
    selections = resolve(model, "all")
    vector = {name: torch.randn_like(value) for name, value in model.named_parameters()}

    def gradient():
        loss = batches.text_losses(model, tokens, lengths).mean()
        return torch.autograd.grad(loss, list(model.parameters()))

    def eager(product):
        def run():
            with curvature.eager_attention(model):
                return product()

        return run

    whole = {"selections": selections, "vector": vector, "batch_size": given.texts}
    seconds = timing.medians(
        {
            "gradient": gradient,
            "gradient, eager attention": eager(gradient),
            "Hessian-vector product": eager(lambda: curvature.hessian_product(model, sequences, **whole)),
            "Gauss-Newton-vector product": eager(lambda: curvature.gauss_newton_product(model, sequences, **whole)),
            f"gradient dot products, {given.texts} x 16": lambda: scores.gradient_products(
                model, sequences, sequences[:16], selections
            ),
        },
        given.repeats,
    )
    bars = {"Hessian-vector product": 2.8}
    rows = []
    for name, value in seconds.items():
        ratio = value / seconds["gradient"]
        rows.append([name, f"{ratio:.2f}", timing.verdict(ratio, bars[name]) if name in bars else ""])
    print(f"GPT-2 of 12 blocks x 128, vocabulary 2048, {given.texts} texts of {given.tokens} tokens, all parameters.")
    print(timing.conditions(given.repeats))
    print(f"One gradient: {seconds['gradient']:.2f} s.\n")
    print(timing.table(["product", "gradients", "bar"], rows))


if __name__ == "__main__":
    main()
