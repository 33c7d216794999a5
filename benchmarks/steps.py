"""What a step of a method that trains costs, beside the passes that its formula needs.

`python benchmarks/steps.py` prints a markdown table. A method takes its optimizer steps as unlearnlib.methods.trained
does; the bare step reads as many texts forwards, and as many of these backwards, as were counted in one step of it,
with the same optimizer. Gradient difference also stands beside the same loss in a plain loop of transformers.Trainer,
where accelerate is installed. The model has the shape of the small profile and random weights.
"""

import argparse
import copy
import os
import random
import statistics
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import timing
import torch
from recording import make_model, small_shape

from unlearnlib.experiment.passes import Passes, counted
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import mean_loss

BATCH, STEPS, WARM = 8, 24, 4  # texts of each set in a step, steps of a run, and of these not timed
BAR = 1.15
PREPARED = {"reinforce_steps": 1, "teacher_steps": 1}
NAMES = (
    *("trained ascent", "gradient difference", "KL ascent", "NPO", "NPO, retaining", "SimNPO", "SimNPO, retaining"),
    *("other answers", "DPO", "DPO, retaining", "generic predictions", "reverse KL", "UNDIAL"),
    *("bad teacher", "base teacher", "misdirection", "retained only"),
)


def request(folder: Path) -> Request:
    """Return a request with random texts, of the lengths of the study's."""
    draw = random.Random(0)
    model = make_model(**small_shape())

    def texts(kind: str, count: int) -> dict[str, list[int]]:
        vocabulary = model.config.vocab_size
        return {f"{kind}-{i}": [draw.randrange(vocabulary) for _ in range(draw.randint(16, 27))] for i in range(count)}

    def keep(compute, name: str = "") -> Path:
        target = Path(tempfile.mkdtemp(dir=folder))
        compute(target)
        return target

    return Request(model, 0, forget=texts("forget", 40), retain=texts("retain", 100), base=model, keep=keep)


def options(name: str, asked: Request) -> dict:
    """Return how a method is run here: its own settings, but for the length."""
    known = METHODS[name].options
    given = {"steps": STEPS, "every": STEPS, "batch_size": BATCH, "learning_rate": 1e-5}
    given |= {option: value for option, value in PREPARED.items() if option in known}
    if "replacements" in known:
        given["replacements"] = {one: ids[::-1] for one, ids in asked.forget.items()}
    return given


def step_of(name: str, asked: Request) -> tuple[float, Passes]:
    """Return the CPU seconds of one step (median of those behind the first), and what was read in the last one."""
    logs: list[Path] = []

    def keep(compute, what: str = "") -> Path:
        logs.append(asked.keep(compute, what))
        return logs[-1]

    with counted() as count:
        path = METHODS[name].path(asked.having(keep=keep), **options(name, asked))
        with path.at(float(STEPS)):
            pass
    found = next(folder for folder in reversed(logs) if (folder / "log.csv").is_file())
    seconds = pd.read_csv(found / "log.csv")["seconds"].diff()[WARM:]
    return float(seconds.median()), count.steps[-1] - count.steps[-2]


def bare(asked: Request, needed: Passes) -> float:
    """Return the CPU seconds of one step that reads so many texts and does nothing else (median)."""
    model, texts = copy.deepcopy(asked.start), [*asked.forget.values(), *asked.retain.values()]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.0, fused=True)
    draw, seconds = random.Random(1), []
    for step in range(STEPS):
        batches = [draw.sample(texts, count) for count in _parts(needed.backward)]
        without = [draw.sample(texts, count) for count in _parts(needed.forward - needed.backward)]
        started = time.process_time()
        with torch.no_grad():
            for batch in without:
                mean_loss(model, batch)
        sum(mean_loss(model, batch) for batch in batches).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step >= WARM:
            seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def _parts(count: int) -> list[int]:
    """Return a number of texts in batches of BATCH."""
    return [BATCH] * (count // BATCH) + ([count % BATCH] if count % BATCH else [])


def by_trainer(asked: Request) -> float:
    """Return the CPU seconds of one step of gradient difference in a plain loop of transformers.Trainer (the time of
    twice as many steps less that of as many, by step)."""
    from transformers import Trainer, TrainingArguments

    class Difference(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, **_):
            forget, retain = inputs["pairs"]
            return mean_loss(model, retain) - mean_loss(model, forget)

    pairs = list(zip(list(asked.forget.values()) * 10, list(asked.retain.values()) * 4, strict=True))

    def run(steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=1e-5, weight_decay=0.0,
                lr_scheduler_type="constant", optim="adamw_torch_fused", max_grad_norm=1.0, report_to=[], use_cpu=True,
                save_strategy="no", logging_strategy="no", disable_tqdm=True, remove_unused_columns=False,
            )  # fmt: skip
            trainer = Difference(
                copy.deepcopy(asked.start), arguments, train_dataset=pairs,
                data_collator=lambda rows: {"pairs": ([one for one, _ in rows], [other for _, other in rows])},
            )  # fmt: skip
            started = time.process_time()
            trainer.train()
            return time.process_time() - started

    return (run(2 * STEPS) - run(STEPS)) / STEPS


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        asked = request(Path(folder))
        for name in NAMES:
            found = []
            for _ in range(given.repeats):
                seconds, needed = step_of(name, asked)
                found.append((seconds, bare(asked, needed)))
            ours, theirs = (statistics.median(one) for one in zip(*found, strict=True))
            counts = f"{needed.forward} / {needed.backward}"
            rows.append(
                [name, counts, f"{1000 * ours:.0f}", f"{ours / theirs:.2f}", timing.verdict(ours / theirs, BAR)]
            )
        columns = ["method", "texts read forwards / backwards", "ms a step", "times the bare passes", "bar"]
        print(timing.conditions(given.repeats) + "\n\n" + timing.table(columns, rows))
        if find_spec("accelerate"):
            ours = statistics.median(step_of("gradient difference", asked)[0] for _ in range(given.repeats))
            theirs = statistics.median(by_trainer(asked) for _ in range(given.repeats))
            print(f"\ngradient difference in a plain Trainer: {1000 * theirs:.0f} ms a step, {theirs / ours:.2f} times")


if __name__ == "__main__":
    main()
