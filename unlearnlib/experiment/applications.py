"""Unlearning at work: what becomes of a situation by each way out of it, beside the model trained as it should have
been."""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import torch

from unlearnlib.core import cache, paths
from unlearnlib.data import batches
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import own_way, trained
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.own import REFERENCE, START, Given, Own, digest
from unlearnlib.experiment.own_way import REPAIRED, UNLEARNED
from unlearnlib.experiment.situations import Asked, Situation
from unlearnlib.measures import distance, evaluation
from unlearnlib.methods.trained import Steps, further_trained

# What the ways are called in tables and figures.
NOTHING, STEP, REPAIR = "nothing done", "unlearned", "unlearned, repaired"
AS_IT_SHOULD = "retrained"
TEACH, STEP_TEACH = "new texts alone", "unlearned, then new texts"
LATER = ", and later others"  # what has been learnt after it
FOUND = "retrained without what was found"
REPAIR_STEPS, TEACH_STEPS = 7, 12
LONGEST = 96  # tokens of a text: a trigger comes before it


def measured(experiment: Experiment, situation: Situation, name: str) -> pd.DataFrame:
    """Return what becomes of a situation by each way (cached): rows (situation, method, measure, value).

    Measures are those of the situation (mean probabilities, 0 to 1) and `KL`, the mean KL(retrained || this) a token
    on the right texts (nats; 0: the same). The way to unlearn is the recommended one of notebook 20: the recorded
    gradients of all epochs, in the embedding, preconditioned, until the texts to go are as improbable as for a model
    trained without them; `repaired`: and REPAIR_STEPS optimizer steps on the texts that stay. The reference, the
    method `retrained`, read neither a wrong text nor one that was missed, and those that stand instead.
    """
    key = {
        "situation": digest(asdict(situation)),
        "base": trained.base_fingerprint(experiment.profile.base_model),
        "of": {name: getattr(experiment.profile, name) for name in ("epochs", "batch_size", "learning_rate", "device")},
    }

    def compute() -> pd.DataFrame:
        return _measured(experiment, situation)

    found = experiment.table("applications", key, compute, depends={"seed": experiment.seed})
    return found.assign(situation=name)


def _measured(experiment: Experiment, situation: Situation) -> pd.DataFrame:
    mine = opened(experiment, situation.wrong, {**situation.right, **situation.missed}, situation.unseen)
    ideal = _as_it_should(experiment, situation, mine)
    questions = {measure: _encoded(mine, asked) for measure, asked in situation.asked.items()}
    texts, batch = [mine.tokens[name] for name in situation.right], experiment.profile.evaluation_batch
    there = distance.log_distributions(ideal, texts, batch)
    rows = []

    def ask(method: str, model: torch.nn.Module) -> None:
        for measure, asked in questions.items():
            rows.append((method, measure, float(evaluation.choices(model, asked, batch).mean())))
        here = distance.log_distributions(model, texts, batch)
        rows.append((method, "KL", distance.mean_divergence(there, here)))

    for method, model in _ways(experiment, mine, situation):
        ask(method, model)
    ask(AS_IT_SHOULD, ideal)
    return pd.DataFrame(rows, columns=["method", "measure", "value"])


def _ways(experiment: Experiment, mine: Own, situation: Situation) -> Iterator[tuple[str, torch.nn.Module]]:
    """Yield every way but the reference, by name, as a model that is good until the next one."""
    yield NOTHING, mine.model(START)
    way = own_way.way(mine)
    effort = own_way.stopped(mine, way, own_way.level(mine, REFERENCE)).step_size
    ends = {STEP: own_way.End(UNLEARNED, way, effort), REPAIR: own_way.End(REPAIRED, way, effort, REPAIR_STEPS)}
    for method, end in ends.items():
        with own_way.opened(mine, end) as model:
            yield method, model
    if situation.missed:
        yield FOUND, mine.model(REFERENCE)
    if not situation.instead:
        return
    learn = _lessons(experiment, mine, situation)
    for method, first in ((TEACH, own_way.End(START)), (STEP_TEACH, ends[STEP])):
        with own_way.opened(mine, first) as model:
            taught = learn(model, situation.instead, "new")
        yield method, taught
        yield method + LATER, learn(taught, situation.later, "later")


def _lessons(experiment: Experiment, mine: Own, situation: Situation) -> Callable:
    """Return a function by which a model learns some texts, with as many of the right ones among them."""
    rate = experiment.profile.learning_rate / 2

    def learn(model, texts: Mapping[str, str], title: str) -> torch.nn.Module:
        beside = drawn(list(situation.right), experiment.seed, f"beside {title}")[: len(texts)]
        ids = {name: batches.encode_text(mine.tokenizer, text) for name, text in texts.items()}
        ids |= {name: mine.tokens[name] for name in beside}
        how = Steps(TEACH_STEPS, TEACH_STEPS, len(ids), rate)
        return further_trained(model, ids, how, experiment.seed, title)

    return learn


def _as_it_should(experiment: Experiment, situation: Situation, mine: Own) -> torch.nn.Module:
    """Return the model trained as it should have been."""
    if not (situation.missed or situation.instead):
        return mine.model(REFERENCE)
    wrong = {**situation.wrong, **situation.missed}
    other = opened(experiment, wrong, {**situation.right, **situation.instead}, situation.unseen)
    return copy.deepcopy(other.model(REFERENCE))


def opened(
    experiment: Experiment,
    forget: Mapping[str, str],
    keep: Mapping[str, str],
    unseen: Mapping[str, str],
    longest: int = LONGEST,
) -> Own:
    """Return these texts, of so many tokens at most, as somebody's own, to be trained on as the profile trains: the
    door of notebook 20. With none that are unseen a fifth of those to keep is not read."""
    profile = experiment.profile
    root = paths.cache_folder(profile.name)
    texts = {"forget": forget, "keep": keep, "unseen": unseen}

    def compute(folder: Path) -> None:
        for role, some in texts.items():
            lines = [json.dumps({"id": name, "text": text}) for name, text in some.items()]
            (folder / f"{role}.jsonl").write_text("\n".join(lines), encoding="utf-8")

    folder = cache.folder(root, "situation", {"texts": digest([[*some.items()] for some in texts.values()])}, compute)
    files = {f"{role}_file": str(folder / f"{role}.jsonl") if some else "" for role, some in texts.items()}
    training = {name: getattr(profile, name) for name in ("epochs", "batch_size", "learning_rate")}
    given = Given(
        profile.base_model, **files, **training, max_tokens=longest, seed=experiment.seed, profile=profile.name
    )
    return Own(given)


def _encoded(mine: Own, asked: Sequence[Asked]) -> list[batches.Question]:
    return [batches.encode_question(mine.tokenizer, one.text, one.prompt, one.answers, LONGEST) for one in asked]
