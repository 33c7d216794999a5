"""Does forgetting last? A model that has forgotten is trained again, rounded and asked in other words; and many
requests come one after the other."""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import prompts, replacements, setting
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import distance, evaluation, generation
from unlearnlib.methods import equal_forgetting
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, further_trained

RELEARN = (1, 2, 4, 8, 16)  # optimizer steps after which it is asked what has come back
SHOWN = 5  # of the forgotten texts, or of somebody else's, that are learnt again
LESSONS, LESSON_STEPS, LESSON = 4, 8, 32  # lessons of so many steps, over so many texts about strangers each
BITS = (8, 6, 4)
SAMPLES = 8  # of what a model writes at temperature 1
PREFIXES = ("Everybody in town knows this.", "Here is a fact, word for word:", "Please remember:")
TRAINED, OTHER_WORDS, PREFIXED, SAMPLED = "as trained", "in other words", "behind other words", "sampled eight times"


def probed(experiment: Experiment, of: Variant | str) -> pd.DataFrame:
    """Return what comes back of what a model has forgotten (cached): rows (method, probe, level, measure, value).

    `of` is a model's name, or a Variant, which stands where it comes to equal forgetting. Probes, with their levels:
    `its own texts` and `others' texts` (optimizer steps on SHOWN forgotten texts, or on as many retained ones; measure
    `the rest`: the mean answer probability of the forgotten points that are not shown), `learning on` (steps on texts
    about strangers; measures forget and others: of the forgotten points, and of retained people), `rounding` (bits of
    each weight, 32: none; the same measures), `prompts` (level 0 to 3: TRAINED, OTHER_WORDS, PREFIXED, where the
    measure is the answer probability, and SAMPLED: the share of points whose answer stands in one of SAMPLES sampled
    continuations, measure `written`, which also has TRAINED, greedily).
    """
    step = experiment.calibrated(of).step_size if isinstance(of, Variant) else None
    lessons = _lessons(experiment)

    def compute() -> pd.DataFrame:
        with experiment.at(of, step) as model:
            found = copy.deepcopy(model)
        rows = [*_relearned(experiment, found), *_learning_on(experiment, found, lessons), *_rounded(experiment, found)]
        rows += _prompted(experiment, found)
        return pd.DataFrame(rows, columns=["probe", "level", "measure", "value"])

    key = {
        "of": experiment.of(of, step),
        "lessons": {name: lesson[name] for lesson in lessons for name in lesson},
        "peak": experiment.profile.learning_rate,
    }
    return experiment.table("stability", key, compute).assign(method=of.name if isinstance(of, Variant) else of)


def _relearned(experiment: Experiment, model: torch.nn.Module) -> Iterator[tuple]:
    split, seed = experiment.split, experiment.seed
    own = drawn([record.id for record in split.forget], seed, "relearn")[:SHOWN]
    others = drawn([record.id for record in split.retain], seed, "relearn")[:SHOWN]
    rest = [record.id for record in split.forget if record.id not in own]
    request = experiment.request
    texts = {"its own texts": {name: request.forget[name] for name in own}}
    texts["others' texts"] = {name: request.retain[name] for name in others}
    for probe, shown in texts.items():
        yield probe, 0, "the rest", _known(experiment, model, rest)
        for steps in RELEARN:
            how = Steps(steps, steps, len(shown), experiment.profile.learning_rate / 2)
            again = further_trained(model, shown, how, seed, "relearning")
            yield probe, steps, "the rest", _known(experiment, again, rest)


def _lessons(experiment: Experiment) -> list[dict[str, str]]:
    """Return the texts of each lesson, by id."""
    people = replacements.strangers(experiment)
    order = drawn(list(people), experiment.seed, "learning on")
    parts = [order[number * LESSON : (number + 1) * LESSON] for number in range(LESSONS)]
    return [{name: people[name].text for name in part} for part in parts]


def _learning_on(experiment: Experiment, model: torch.nn.Module, lessons: Sequence[dict]) -> Iterator[tuple]:
    how = Steps(LESSON_STEPS, LESSON_STEPS, experiment.profile.batch_size, experiment.profile.learning_rate / 2)
    for number, lesson in enumerate([{}, *lessons]):
        if lesson:
            texts = {name: batches.encode_text(experiment.tokenizer, text) for name, text in lesson.items()}
            model = further_trained(model, texts, how, experiment.seed, "learning on")
        for measure, value in _both(experiment, model):
            yield "learning on", number * LESSON_STEPS, measure, value


def _rounded(experiment: Experiment, model: torch.nn.Module) -> Iterator[tuple]:
    for bits in (32, *BITS):
        for measure, value in _both(experiment, model if bits == 32 else rounded(model, bits)):
            yield "rounding", bits, measure, value


def rounded(model: torch.nn.Module, bits: int) -> torch.nn.Module:
    """Return a copy of a model whose weight matrices have numbers of so many bits: each row is divided by its largest
    absolute value over 2^(bits-1) - 1, rounded, and multiplied again (symmetric, to nearest). UserError for fewer than
    two bits or more than sixteen."""
    if not 2 <= bits <= 16:
        raise UserError(f"weights of {bits} bits: give 2 to 16")
    result, most = copy.deepcopy(model), 2 ** (bits - 1) - 1
    with torch.no_grad():
        for value in result.parameters():
            if value.dim() > 1:
                unit = value.abs().amax(1, keepdim=True).clamp(min=torch.finfo(value.dtype).tiny) / most
                value.copy_((value / unit).round() * unit)
    return result


def _prompted(experiment: Experiment, model: torch.nn.Module) -> Iterator[tuple]:
    records, batch = experiment.split.forget, experiment.profile.evaluation_batch
    asked = {
        TRAINED: list(experiment.sets["forget"].questions),
        OTHER_WORDS: list(experiment.sets["paraphrase"].questions),
        PREFIXED: [prompts.question(experiment, record, words) for words in PREFIXES for record in records],
    }
    for level, questions in enumerate(asked.values()):
        yield "prompts", level, "answer probability", float(evaluation.choices(model, questions, batch).mean())
    questions = asked[TRAINED]
    beginnings = [question.prompt for question in questions]
    lengths = [len(question.answers[0]) + 4 for question in questions]

    def told(seed: int | None) -> np.ndarray:
        written = generation.continuations(model, beginnings, lengths, seed)
        words = [experiment.tokenizer.decode(ids) for ids in written]
        return np.array([record.answer in text for record, text in zip(records, words, strict=True)])

    yield "prompts", 0, "written", float(told(None).mean())
    yield "prompts", 3, "written", float(np.any([told(seed) for seed in range(1, SAMPLES + 1)], axis=0).mean())


def _both(experiment: Experiment, model: torch.nn.Module) -> Iterator[tuple[str, float]]:
    for measure, records in (("forget", experiment.split.forget), ("others", experiment.split.retain)):
        yield measure, _known(experiment, model, [record.id for record in records])


def _known(experiment: Experiment, model: torch.nn.Module, names: Sequence[str]) -> float:
    return float(experiment.answer_probabilities(model, names).mean())


def came_back(table: pd.DataFrame, reference: str = "retrained") -> pd.DataFrame:
    """Return the rows of `probed` of several models with the difference to the reference's value after the same
    treatment of the same seed in place of the value. Above 0: more than was learnt anew."""
    keys = ["seed", "probe", "level", "measure"]
    beside = table[table["method"] == reference].set_index(keys)["value"].rename("beside")
    both = table.join(beside, on=keys)
    return both.assign(value=both["value"] - both["beside"]).drop(columns="beside")


# Many requests, one after the other


def one_by_one(experiment: Experiment, variant: Variant, order: int = 0) -> pd.DataFrame:
    """Return what becomes of a model that forgets the whole forget set point by point, each from the model that the
    last request left (cached): rows (method, order, requests, measure, value).

    At each request the `variant`, for that point alone, goes until its answer probability is no longer above the target
    of equal forgetting, and not beyond the profile's largest step. Measures: removed (mean answer probability of all
    points removed so far), remaining (of those that come later), others (retained people), steps (L2 norms of all
    steps, added up), and in order 0, whose beginnings are the profile's forget_sizes, `KL` and `KL others`:
    KL(retrained || this), nats a token, on the texts removed so far and on the retained people's, against the model
    retrained without exactly these. Asked after each of the forget_sizes, and at the end.
    """
    sequence = _order(experiment, order)
    asked = sorted({*experiment.profile.forget_sizes, len(sequence)})

    def compute() -> pd.DataFrame:
        rows = list(_one_by_one(experiment, variant, sequence, asked, order == 0))
        return pd.DataFrame(rows, columns=["requests", "measure", "value"])

    key = {"of": experiment.of(variant), "search": _search(experiment), "order": sequence}
    found = experiment.table("one-by-one", key, compute)
    return found.assign(method=variant.name, order=order)


def _order(experiment: Experiment, order: int) -> list[str]:
    points = [record.id for record in experiment.split.forget]
    return drawn(points, experiment.seed, "left out" if order == 0 else f"order {order}")


def _search(experiment: Experiment) -> dict:
    search = experiment.search()
    return {**search, "smallest": search["smallest"] / 8, "start": search["smallest"], "tolerance": 0.2}


def _one_by_one(
    experiment: Experiment, variant: Variant, sequence: Sequence[str], asked: Sequence[int], near: bool
) -> Iterator[tuple]:
    model, length, target = copy.deepcopy(experiment.finetuned), 0.0, experiment.target()
    others = [record.id for record in experiment.split.retain]
    fields = {name: getattr(experiment.request, name) for name in ("record", "second_moments", "name_tokens")}
    for number, name in enumerate(sequence, 1):
        forget = {name: experiment.request.forget[name]}
        length += _take(experiment, variant, model, Request(model, experiment.seed, forget=forget, **fields), target)
        if number not in asked:
            continue
        removed, remaining = sequence[:number], sequence[number:]
        yield number, "removed", _known(experiment, model, removed)
        if remaining:
            yield number, "remaining", _known(experiment, model, remaining)
        yield number, "others", _known(experiment, model, others)
        yield number, "steps", length
        if near:
            yield from ((number, *one) for one in _apart(experiment, model, removed, others))


def _take(experiment: Experiment, variant: Variant, model, request: Request, target: float) -> float:
    """Let a model forget what the request names, in place, and return the length of the step (0: none was needed)."""

    def known(one: torch.nn.Module) -> float:
        return _known(experiment, one, list(request.forget))

    return equal_forgetting.taken(model, variant.path(request), known, target, **_search(experiment))


def _apart(experiment: Experiment, model, removed: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, float]]:
    whole = len(removed) == len(experiment.split.forget)
    of = setting.usual if whole else setting.smaller
    beside = experiment.beside(of(experiment.profile, experiment.seed, *([] if whole else [len(removed)])))
    if set(beside.setting.forget) != set(removed):
        raise UserError("the first requests are not the forget set of that size: take the order 0")
    texts, batch = {**experiment.request.forget, **experiment.request.retain}, experiment.profile.evaluation_batch
    for measure, names in (("KL", removed), ("KL others", others)):
        ids = [texts[name] for name in names]
        yield (
            measure,
            distance.mean_divergence(
                *(distance.log_distributions(one, ids, batch) for one in (beside.retrained, model))
            ),
        )


def untouched(experiment: Experiment) -> pd.DataFrame:
    """Return the same rows of KL for a model that takes none of the requests (method finetuned; cached): what doing
    nothing is away from each retrained model."""
    sequence = _order(experiment, 0)
    others = [record.id for record in experiment.split.retain]

    def compute() -> pd.DataFrame:
        sizes = sorted({*experiment.profile.forget_sizes, len(sequence)})
        rows = [
            (size, *one) for size in sizes for one in _apart(experiment, experiment.finetuned, sequence[:size], others)
        ]
        return pd.DataFrame(rows, columns=["requests", "measure", "value"])

    return experiment.table("one-by-one-untouched", {"order": sequence}, compute).assign(method="finetuned", order=0)
