"""A model that goes on learning, with requests to forget in between: does it recall, and does it lose the rest?"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import torch

from unlearnlib.data import batches
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import replacements
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.own_way import SEARCH, loss_of
from unlearnlib.measures import evaluation
from unlearnlib.methods import equal_forgetting
from unlearnlib.methods.preconditioned import preconditioned_ascent
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, further_trained

NOTHING, REQUESTS, AS_IT_SHOULD = "nothing done", "unlearned", "retrained"
STEPS = 12  # optimizer steps in which a model learns the texts of one round


@dataclass(frozen=True)
class Rounds:
    """What comes one after the other: in each round the points to forget (`requests`), and then the texts about
    strangers to learn (`lessons`), by id; `beside`: retained texts that are read with each lesson."""

    requests: tuple[tuple[str, ...], ...]
    lessons: tuple[tuple[str, ...], ...]
    beside: tuple[tuple[str, ...], ...]

    def __len__(self) -> int:
        return len(self.requests)


def rounds(experiment: Experiment, count: int, lesson: int = 15) -> Rounds:
    """Return `count` rounds, in which the whole forget set goes, in parts as equal as can be, and `lesson` texts are
    learnt in each, as far as there are so many; drawn by the seed."""
    split, seed = experiment.split, experiment.seed
    points = drawn([record.id for record in split.forget], seed, "requests")
    people = drawn(list(replacements.strangers(experiment)), seed, "lessons")
    retained = [record.id for record in split.retain]
    return Rounds(
        tuple(tuple(points[number::count]) for number in range(count)),
        tuple(tuple(people[number * lesson : (number + 1) * lesson]) for number in range(count)),
        tuple(tuple(drawn(retained, seed, f"beside {number}")[:lesson]) for number in range(count)),
    )


def lived(experiment: Experiment, of: Rounds) -> pd.DataFrame:
    """Return what three models know after each round (cached): rows (round, method, measure, value), the round 0 being
    before all.

    Measures, mean answer probabilities: removed (points of requests so far), first removed (of the first request alone:
    whether what went stays away), remaining (of those that come later), new (what was learnt since), others (retained
    people). Methods: `nothing done` only learns; `unlearned` takes at each
    request one step along the recorded gradients of its points (first epoch, embedding, preconditioned), from where it
    stands, until they are as improbable as for the reference of that moment; `retrained` never read any of the forget
    set, and learns the same lessons. It is the reference for the removed points; the remaining ones it never knew.
    """
    people = replacements.strangers(experiment)
    key = {
        "rounds": [of.requests, of.lessons, of.beside],
        "texts": {name: people[name].text for name in sum(of.lessons, ())},
    }

    def compute() -> pd.DataFrame:
        return pd.DataFrame(_lived(experiment, of), columns=["round", "method", "measure", "value"])

    return experiment.table("lifelong", key, compute)


def _lived(experiment: Experiment, of: Rounds) -> Iterator[tuple]:
    models = {
        NOTHING: copy.deepcopy(experiment.finetuned),
        REQUESTS: copy.deepcopy(experiment.finetuned),
        AS_IT_SHOULD: copy.deepcopy(experiment.retrained),
    }
    asked = _questions(experiment, of)
    for number in range(len(of) + 1):
        if number:
            points = of.requests[number - 1]
            _forget(experiment, models[REQUESTS], models[AS_IT_SHOULD], points)
            texts = {name: asked[name].text for name in (*of.lessons[number - 1], *of.beside[number - 1])}
            rate = experiment.profile.learning_rate / 2
            how = Steps(STEPS, STEPS, len(texts), rate)
            models = {
                name: further_trained(model, texts, how, experiment.seed, f"round {number}")
                for name, model in models.items()
            }
        groups = {
            "removed": sum(of.requests[:number], ()),
            "first removed": of.requests[0] if number else (),
            "remaining": sum(of.requests[number:], ()),
            "new": sum(of.lessons[:number], ()),
            "others": tuple(record.id for record in experiment.split.retain),
        }
        for name, model in models.items():
            for measure, ids in groups.items():
                if ids:
                    yield number, name, measure, _known(model, [asked[one] for one in ids], experiment)


def _questions(experiment: Experiment, of: Rounds) -> dict[str, batches.Question]:
    """Return every question that is asked, by id."""
    people, most = replacements.strangers(experiment), experiment.profile.max_tokens
    found = {
        name: batches.encode_question(
            experiment.tokenizer, one.text, one.prompt, (one.answer, *one.wrong_answers), most
        )
        for name in sum(of.lessons, ())
        for one in [people[name]]
    }
    for name in ("forget", "retain"):
        examples = experiment.sets[name]
        found |= dict(zip(examples.names, examples.questions, strict=True))
    return found


def _known(model, questions: Sequence[batches.Question], experiment: Experiment) -> float:
    return float(evaluation.choices(model, questions, experiment.profile.evaluation_batch).mean())


def _forget(experiment: Experiment, model: torch.nn.Module, reference: torch.nn.Module, points: Sequence[str]) -> None:
    """Let a model forget these points, in place: as far as the reference does not know them."""
    request, ids = experiment.request, [experiment.request.forget[name] for name in points]
    forget: Mapping = dict(zip(points, ids, strict=True))
    given = {name: getattr(request, name) for name in ("record", "second_moments", "name_tokens")}
    walked = preconditioned_ascent(Request(model, experiment.seed, forget=forget, **given), "embedding", "first")
    batch = experiment.profile.evaluation_batch

    def known(one: torch.nn.Module) -> float:
        return -loss_of(one, ids, batch)

    equal_forgetting.taken(model, walked, known, known(reference), **SEARCH)
