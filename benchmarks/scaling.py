"""How cost grows with the model, the number of texts and their length: seconds, memory and stored bytes, measured.

`python benchmarks/scaling.py` writes benchmarks/scaling.csv, which notebook 17 reads: a row for each model, number of
texts, length and operation. Each configuration is measured in a process of its own, with one thread, one after the
other; its rows are in the table as soon as it is done, and a run that was interrupted goes on where it stopped. With
`--quick` three small models are measured, in about a minute, into runs/scaling-quick.csv.
"""

import argparse
import ctypes
import gc
import json
import multiprocessing
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pandas as pd
import timing
import torch

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.batches import Question
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.record import Record, Recorder
from unlearnlib.gradients.rules import densify, factors
from unlearnlib.measures import evaluation
from unlearnlib.methods.path import straight
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.request import Later, Request
from unlearnlib.models import shapes
from unlearnlib.models.anatomy import anatomy
from unlearnlib.models.layers import parameter_count, resolve
from unlearnlib.training import storage
from unlearnlib.training.loop import fine_tune, new_optimizer
from unlearnlib.training.schedule import Plan, schedule

TEXTS, TOKENS = 16, 32  # where the three axes meet: one batch, of texts somewhat longer than those of the profiles
TABLE = Path(__file__).with_name("scaling.csv")
KEY = ["machine", "model", "texts", "tokens"]
LARGEST = 100  # of more texts each text's own gradient is not made in several ways: it only takes long
SMALLEST = "0.1M"
FEW = 10  # points to forget out of all that were recorded
LENGTH = 1e-3  # of the step to unlearn: how far it goes changes no cost
# What takes seconds to import is imported once, by the process from which those of the configurations are forked.
SHARED = ["torch", "pandas", *(f"transformers.models.{one}.modeling_{one}" for one in ("gpt2", "llama"))]


@dataclass(frozen=True)
class Configuration:
    """What is measured together: a model of unlearnlib.models.shapes, so many texts, each of so many tokens."""

    model: str
    texts: int = TEXTS
    tokens: int = TOKENS

    def __str__(self) -> str:
        return f"{self.model}, {self.texts} texts of {self.tokens} tokens"


def configurations(quick: bool) -> list[Configuration]:
    """Return what is measured, the cheap before the dear: models, then texts, then lengths, each axis through
    (TEXTS, TOKENS)."""
    sizes = ("0.1M", "0.3M", "1M") if quick else ("1M", "3M", "10M", "30M", "135M")
    counts = {"0.3M": (10, 30, 100)} if quick else {"1M": (10, 30, 100, 300, 1000), "3M": (10, 30)}
    lengths = {"0.3M": (16, 64, 128)} if quick else {"1M": (16, 64, 128), "3M": (16, 64, 128, 256)}
    chosen = [Configuration(name) for name in sizes]
    chosen += [Configuration(name, texts=count) for name, some in counts.items() for count in some]
    chosen += [Configuration(name, tokens=length) for name, some in lengths.items() for length in some]
    return sorted(chosen, key=work)


def work(one: Configuration) -> float:
    """Return what a configuration's time is about proportional to: tokens times parameters, and a little for each."""
    millions = float(one.model.removesuffix("M"))
    return one.texts * one.tokens * millions + 2000


class Operations:
    """What is measured of one configuration, each a function without arguments; the names are those of notebook 17."""

    def __init__(self, model, texts: int, tokens: int, folder: Path):
        draw = torch.Generator().manual_seed(texts)
        vocabulary = model.config.vocab_size
        rows = torch.randint(1, vocabulary, (texts, tokens), generator=draw).tolist()
        self.model, self.folder, self.fresh, self.optimizer = model, folder, True, None
        self.texts = {f"text-{number:04d}": row for number, row in enumerate(rows)}
        self.plan = Plan(epochs=1, batch_size=TEXTS, learning_rate=1e-6)
        self.steps = schedule({name: len(row) for name, row in self.texts.items()}, self.plan, seed=0)
        wrong = torch.randint(1, vocabulary, (texts, 5, 2), generator=draw).tolist()
        self.questions = [
            Question(tuple(row[:-3]), (tuple(row[-3:-1]), *map(tuple, others)), tuple(row[-1:]))
            for row, others in zip(rows, wrong, strict=True)
        ]
        self.recorder = Recorder(self.texts)
        folder.mkdir()
        result = fine_tune(model, self.texts, self.steps, self.plan, recorder=self.recorder)
        storage.save(folder, model, result, self.steps, self.plan, seed=0)
        self.recorder.save(folder)

    def all(self) -> dict[str, Callable[[], object]]:
        """Return every operation by name."""
        named = {
            "training": lambda: self.train(None),
            "training, sums recorded": lambda: self.train(Recorder(self.texts, point_epochs=())),
            "training, points recorded": lambda: self.train(Recorder(self.texts)),
            "record written": lambda: self.recorder.save(self.folder),
            "unlearning, recorded step": lambda: self.unlearn(recorded_ascent),
            "unlearning, preconditioned": lambda: self.unlearn(preconditioned_ascent),
            "unlearning, ten points": self.unlearn_few,
            "evaluation": lambda: evaluation.ask(self.model, self.questions, texts=False),
        }
        if len(self.texts) <= LARGEST:
            named |= {
                "gradients, dense": lambda: sum(1 for _ in per_example.per_example_gradients(self.model, self.rows)),
                "gradients, factors": lambda: per_example.per_example_factors(self.model, self.rows),
                "gradients, layer by layer": self.layer_by_layer,
                "gradients, naive loop": self.naive_loop,
            }
        return named

    @property
    def rows(self) -> list[list[int]]:
        return list(self.texts.values())

    def train(self, recorder: Recorder | None) -> None:
        """Train one epoch in place; its optimizer is kept for the next time unless `fresh`, since a training makes one
        in many epochs."""
        optimizer = self.optimizer or new_optimizer(self.model, self.plan)
        self.optimizer = None if self.fresh else optimizer
        fine_tune(self.model, self.texts, self.steps, self.plan, recorder=recorder, optimizer=optimizer)

    def unlearn(self, method: Callable) -> None:
        """Read what was recorded of all texts, take the step, and put the model back as it was."""
        moments = Later(lambda: storage.second_moments(self.folder))
        known = {"forget": self.texts, "record": Record(self.folder), "second_moments": moments}
        with method(Request(self.model, **known)).at(LENGTH):
            pass

    def unlearn_few(self) -> None:
        """The same of ten of the recorded texts, from the factors of each."""
        selections = resolve(self.model, "all")
        names = list(self.texts)[:FEW]
        with straight(self.model, Record(self.folder).subset(self.model, names, selections)).at(LENGTH):
            pass

    def layer_by_layer(self) -> None:
        """Make the dense gradients of all texts of one layer at a time, each dropped before the next."""
        stored = factors(per_example.capture_at(self.model, self.rows, None))
        for part in algebra.parts_of(resolve(self.model, "all")):
            densify(self.model, stored, [part])

    def naive_loop(self) -> None:
        """One backward pass a text, each gradient dropped before the next."""
        for row in self.rows:
            tokens, lengths = batches.pad([row])
            loss = batches.text_losses(self.model, tokens, lengths).sum()
            torch.autograd.grad(loss, list(self.model.parameters()))

    def kept(self) -> dict[str, int]:
        """Return the bytes of what lies on disk, by name: files, and what of them belongs to the embedding (and to
        learned positions)."""
        known = anatomy(self.model)
        tables = {known.embedding, known.head if known.tied else known.embedding, known.positions} - {None}
        files = {name: self.folder / f"{name}.safetensors" for name in ("sums", "points", "second_moments")}
        sizes = {f"kept, {name.replace('_', ' ')}": path.stat().st_size for name, path in files.items()}
        weights = {known.embedding_weight, known.position_weight}
        in_sums, in_points = (bytes_of(files[name]) for name in ("sums", "points"))
        of_sums = (size for key, size in in_sums.items() if key.split("|")[1].partition("#")[0] in weights)
        of_points = (size for key, size in in_points.items() if key.split("|")[2].rpartition("/")[0] in tables)
        return {**sizes, "kept, sums of the embedding": sum(of_sums), "kept, points of the embedding": sum(of_points)}


def bytes_of(path: Path) -> dict[str, int]:
    """Return the bytes of each tensor in a file of safetensors, by name, from its header."""
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    spans = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    return {name: end - start for name, (start, end) in spans.items()}


def products(model, rows: int) -> dict[str, tuple[Callable[[], object], float]]:
    """Return bare matrix products and their floating-point operations: a square one, and those of the model's linear
    layers for so many tokens, one after the other and with nothing in between."""
    side = 1024
    square = torch.randn(side, side)
    layers = [module.weight.detach() for module in model.modules() if type(module) is torch.nn.Linear]
    inputs = {width: torch.randn(rows, width) for width in {weight.shape[1] for weight in layers}}
    return {
        "product, square": (lambda: square @ square, 2.0 * side**3),
        "products, model's shapes": (
            lambda: [inputs[weight.shape[1]] @ weight.T for weight in layers],
            2.0 * rows * sum(weight.numel() for weight in layers),
        ),
    }


def peak(call: Callable[[], object]) -> tuple[float, float]:
    """Return (bytes that a call needs at most beyond what the process held before it, bytes that it held).

    The kernel's high-water mark of this process is set back first and freed memory handed back (Linux; NaN elsewhere).
    """
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = resident("VmRSS")
    except (OSError, AttributeError):
        call()
        return float("nan"), float("nan")
    call()
    return float(resident("VmHWM") - before), float(before)


def resident(what: str) -> int:
    """Return a number of bytes that the kernel knows of this process."""
    return 1024 * int(re.search(rf"{what}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def rounds(calls: dict[str, Callable[[], object]], seconds: float, most: int) -> dict[str, list[tuple[float, float]]]:
    """Return (CPU, wall) seconds of every call in every round: as many rounds as fit into so many seconds, two at
    least and `most` at most, each in the other order than the one before."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    begun = time.monotonic()
    for turn in range(most):
        if turn >= 2 and (time.monotonic() - begun) * (turn + 1) / turn > seconds:
            break
        for name in list(calls) if turn % 2 else reversed(calls):
            cpu, wall = time.process_time(), time.perf_counter()
            result = calls[name]()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
            del result  # freed here, so that no call holds its result while another runs
    return spent


def measure(one: Configuration, seconds: float = 8.0, most: int = 5) -> list[dict]:
    """Return the rows of one configuration (see COLUMNS), measured in this process."""
    torch.set_num_threads(1)
    model = shapes.build(one.model)
    parameters = parameter_count(model)
    rows = []

    def row(operation: str, **numbers) -> None:
        known = {"machine": machine(), "model": one.model, "family": shapes.family_of(one.model)}
        shape = {"parameters": parameters, "texts": one.texts, "tokens": one.tokens}
        rows.append({**known, **shape, "operation": operation, **numbers})

    with tempfile.TemporaryDirectory() as folder:
        # The smallest model first: code that was never run is read from disk, and counts as memory of the process.
        for call in Operations(shapes.build(SMALLEST), 2, one.tokens, Path(folder) / "first").all().values():
            call()
        operations = Operations(model, one.texts, one.tokens, Path(folder) / "all")
        calls = operations.all()
        needed = {name: peak(call) for name, call in calls.items()}
        operations.fresh = False
        operations.train(None)
        bare = products(model, min(one.texts, TEXTS) * one.tokens)
        spent = rounds({**calls, **{name: call for name, (call, _) in bare.items()}}, seconds, most)
        flops = {name: count for name, (_, count) in bare.items()}
        flops["training"] = 6.0 * parameters * one.texts * one.tokens
        for name, times in spent.items():
            cpu, wall = zip(*times, strict=True)
            row(
                name, repeats=len(times), cpu_seconds=statistics.median(cpu), least=min(cpu), most=max(cpu),
                wall_seconds=statistics.median(wall), peak_bytes=needed.get(name, (None, None))[0],
                held_bytes=needed.get(name, (None, None))[1], flops=flops.get(name), load=load(),
            )  # fmt: skip
        for name, size in operations.kept().items():
            row(name, stored_bytes=size)
    return rows


COLUMNS = [
    *KEY[:2], "family", "parameters", *KEY[2:], "operation", "repeats", "cpu_seconds", "least", "most", "wall_seconds",
    "peak_bytes", "held_bytes", "stored_bytes", "flops", "load",
]  # fmt: skip


def machine() -> str:
    """Return processor, threads and versions: rows of one machine are comparable."""
    stated = timing.conditions(0)
    return stated.partition(";")[0] + "; 1 thread; " + stated.rpartition("repeats; ")[2]


def load() -> float | None:
    """Return how many processes wanted to run in the last minute, this one included, where the system says so."""
    with suppress(OSError, AttributeError):
        return round(os.getloadavg()[0], 2)


def read(table: Path) -> pd.DataFrame:
    """Return the rows that are there; UserError for a file that is no such table."""
    if not table.exists():
        return pd.DataFrame(columns=COLUMNS)
    found = pd.read_csv(table)
    if list(found.columns) != COLUMNS:
        raise UserError(f"{table}: its columns are not those of this benchmark; name another --table, or delete it")
    return found


def add(table: Path, rows: Iterable[dict]) -> None:
    """Put rows into the table, in place of those of the same machine and configuration: whole, or not at all."""
    new = pd.DataFrame(rows, columns=COLUMNS)
    old = read(table)
    kept = old[~old.set_index(KEY).index.isin(new.set_index(KEY).index)]
    whole = new if kept.empty else pd.concat([kept, new])
    table.parent.mkdir(parents=True, exist_ok=True)
    partial = table.with_suffix(".partial")
    whole.to_csv(partial, index=False, float_format="%.6g")
    os.replace(partial, table)


def missing(table: Path, chosen: list[Configuration]) -> list[Configuration]:
    """Return those configurations of which the table has no row of this machine and these versions."""
    there = set(read(table)[KEY].itertuples(index=False, name=None))
    return [one for one in chosen if (machine(), *asdict(one).values()) not in there]


def apart(one: Configuration, seconds: float, most: int) -> list[dict]:
    """Return the rows of one configuration, measured in a process of its own; UserError where that was killed."""
    known = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
    context.set_forkserver_preload(SHARED)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, one, seconds, most).result()
        except BrokenProcessPool:
            raise UserError(f"{one}: its process was killed, as a rule for want of memory") from None


def run(chosen: list[Configuration], table: Path, seconds: float, most: int) -> int:
    """Measure these configurations into the table, saying how far it is, and return how many could not be."""
    begun, total, failed, done = time.monotonic(), sum(map(work, chosen)), 0, 0.0
    for number, one in enumerate(chosen, 1):
        started = time.monotonic()
        try:
            add(table, apart(one, seconds, most))
            said = f"{time.monotonic() - started:.0f} s"
        except (UserError, MemoryError) as error:
            failed, said = failed + 1, f"left out ({error})"
        done += work(one)
        left = (time.monotonic() - begun) * (total / done - 1) / 60
        print(f"[{number}/{len(chosen)}] {one}: {said}; about {left:.0f} min left", flush=True)
    return failed


def main(words: list[str] | None = None) -> int:
    """Measure what is missing, and return 0, or 1 where something was left out, or 2 after a line about a mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three small models, about a minute")
    parser.add_argument("--table", type=Path, help="where the rows go (default: benchmarks/scaling.csv)")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these, such as 1M 135M")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--seconds", type=float, help="for the rounds of one configuration, two at least")
    given = parser.parse_args(words)
    table = given.table or (paths.runs() / "scaling-quick.csv" if given.quick else TABLE)
    seconds = given.seconds or (2.0 if given.quick else 8.0)
    try:
        for name in given.models or ():
            shapes.family_of(name)
        chosen = [one for one in configurations(given.quick) if not given.models or one.model in given.models]
        if not chosen:
            raise UserError(f"{', '.join(given.models)}: not among the models that are measured here")
        waiting = chosen if given.again else missing(table, chosen)
        if (busy := load()) and waiting and busy > 0.7:
            print(f"this machine is busy (load {busy}): what is measured now takes longer than it should", flush=True)
        print(f"{len(chosen) - len(waiting)} of {len(chosen)} configurations are there; table: {table}", flush=True)
        return int(run(waiting, table, seconds, most=3 if given.quick else 5) > 0)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
