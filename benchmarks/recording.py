"""What recording costs: fine-tuning with it beside fine-tuning without, and the size of what is stored.

`python benchmarks/recording.py` prints two markdown tables. The texts and the model have the shape of the small profile
and random content; an epoch is 160 texts of 16 to 27 tokens, 40 of them recorded.
"""

import argparse
import copy
import os
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import timing
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from unlearnlib.core import profiles
from unlearnlib.gradients import per_example
from unlearnlib.gradients.record import Recorder
from unlearnlib.models.layers import parameter_count
from unlearnlib.models.linear import use_linear_layers
from unlearnlib.models.pretraining import Recipe
from unlearnlib.training.loop import fine_tune
from unlearnlib.training.schedule import Plan, schedule

TEXTS, RECORDED = 160, 40


def make_model(**shape):
    """Return a GPT-2 with random weights and no dropout, its layers linear as after loading."""
    torch.manual_seed(0)
    config = GPT2Config(
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",
        bos_token_id=0,
        eos_token_id=0,
        **shape,
    )
    return use_linear_layers(GPT2LMHeadModel(config).eval())


def small_shape() -> dict:
    """Return the shape of the shipped base model."""
    recipe = Recipe()
    return {
        "vocab_size": recipe.vocabulary,
        "n_positions": recipe.positions,
        "n_embd": recipe.width,
        "n_layer": recipe.blocks,
        "n_head": recipe.heads,
    }


def cost(repeats: int) -> str:
    """Return the table of the cost of an epoch with recording, relative to one without."""
    settings = profiles.load("small")
    plan = Plan(epochs=1, batch_size=settings.batch_size, learning_rate=settings.learning_rate)
    draw = random.Random(0)
    vocabulary = Recipe().vocabulary
    texts = {f"text-{i}": [draw.randrange(vocabulary) for _ in range(draw.randint(16, 27))] for i in range(TEXTS)}
    steps = schedule({name: len(ids) for name, ids in texts.items()}, plan, seed=0)
    points = draw.sample(sorted(texts), RECORDED)
    model = make_model(**small_shape())

    def epoch(recorder: Recorder | None):
        fine_tune(copy.deepcopy(model), texts, steps, plan, recorder=recorder)
        return recorder

    seconds = timing.medians(
        {
            "plain": lambda: epoch(None),
            "first": lambda: epoch(Recorder(points, point_epochs=(0,))),
            "later": lambda: epoch(Recorder(points, point_epochs=())),
        },
        repeats,
    )
    first, later = (seconds[name] / seconds["plain"] for name in ("first", "later"))
    # A run is put together from its epochs: whole runs side by side would take long, and give the same.
    epochs = settings.epochs
    only_first = (first + epochs - 1) / epochs
    every = (first + (epochs - 1) * later) / epochs
    rows = [
        ["an epoch that records the factors of every point and their sum (the first)", f"{first:.2f}", ""],
        ["an epoch that records the sum over the points (every later one)", f"{later:.2f}", ""],
        [f"a run of {epochs} epochs that records the first", f"{only_first:.2f}", timing.verdict(only_first, 1.15)],
        [f"a run of {epochs} epochs that records all, as the profiles do", f"{every:.2f}", timing.verdict(every, 1.3)],
    ]
    lines = [
        f"{TEXTS} texts, {RECORDED} recorded, batches of {plan.batch_size}; the model of the small profile.",
        timing.conditions(repeats),
        f"One epoch without recording: {seconds['plain']:.2f} s.\n",
        timing.table(["fine-tuning with recording", "times plain", "bar"], rows),
    ]
    return "\n".join(lines)


def size() -> str:
    """Return the table of the size of one text's stored factors, relative to its dense gradient."""
    rows = []
    for name, shape, bar in (("small profile", small_shape(), None), ("GPT-2 124M", {}, 20)):
        model = make_model(**shape)
        text = torch.randint(model.config.vocab_size, (20,)).tolist()
        (stored,) = per_example.per_example_factors(model, [text])
        size = sum(value.numel() * value.element_size() for value in stored.values())
        ratio = 4 * parameter_count(model) / size
        verdict = timing.verdict(ratio, bar, at_least=True) if bar else ""
        rows.append([name, f"{size / 1e6:.2f} MB", f"{ratio:.1f}", verdict])
    return timing.table(["a text of 20 tokens", "factors", "times smaller than dense", "bar"], rows)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--keep-memory", action="store_true", help="let the process keep memory it has freed (glibc)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.keep_memory:
        timing.keep_memory()
    print(cost(given.repeats) + "\n\n" + size())


if __name__ == "__main__":
    main()
