"""Knowledge gap alignment (KGA): what is to be forgotten is to be as far from known as texts that were never seen."""

from collections.abc import Mapping, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.methods.losses import divergence_between, not_negative
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Later, Request
from unlearnlib.methods.trained import Steps, further_trained, trained


def knowledge_gap_alignment(
    request: Request,
    unseen: Mapping[str, Sequence[int]] | None = None,
    retain_weight: float = 0.1,
    teacher_steps: int = 18,
    teacher_rate: float = 8e-4,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along |KL(f || model) on texts to forget - gap| + retain_weight KL(start || model)
    on retained ones. f is the base model trained on the texts to forget alone; gap is KL(n || start) on texts that the
    model to start from has never seen, n the base model trained on these alone.

    Wang et al., "KGA: a general machine unlearning framework based on knowledge gap alignment" (2023, arXiv
    2305.06535): weight 0.1 in their code for classification, 0.3 for translation and dialogue. `unseen` has the token
    ids of such texts, by id (unlearnlib.experiment.replacements.unseen makes some); about as many as are to be
    forgotten. What differs: divergences are means over tokens, theirs sums that count padding; gap is one number of all
    unseen texts, theirs one of each batch; no stop of its own, at their gap or a part of it. Past the gap the loss
    turns back, so that gap bounds it. The two trainings count in `seconds`, not in the effort. UserError without unseen
    texts and for one that the model was trained on.
    """
    not_negative("retain_weight", retain_weight)
    if not unseen:
        raise UserError("this method needs texts that the model has never seen: give unseen, token ids by id")
    trained_on = {tuple(text) for texts in (request.forget, request.retain) for text in texts.values()}
    known = next((name for name, text in unseen.items() if tuple(text) in trained_on), None)
    if known is not None:
        raise UserError(f"the model was trained on the text {known!r}: give texts that it has never seen")
    how = Steps(teacher_steps, teacher_steps, batch_size, teacher_rate)

    def teacher(texts, title: str):
        return Later(lambda: further_trained(request.base, texts, how, request.seed, title))

    forgotten, strangers = teacher(request.forget, "teacher, to forget"), teacher(unseen, "teacher, unseen")
    gap = Later(lambda: knowledge_gap(strangers.value, request.start, list(unseen.values()), batch_size))

    def loss(model, forget, retained):
        distance = (divergence_between(forgotten.value, model, forget) - gap.value).abs()
        return distance + retain_weight * divergence_between(request.start, model, retained)

    return trained(
        request, loss, Steps(steps, every, batch_size, learning_rate), request.retain, "knowledge gap alignment"
    )


def knowledge_gap(teacher, model, texts: Sequence[Sequence[int]], batch_size: int) -> float:
    """Return KL(teacher || model), the mean over some texts of the mean over tokens, in nats."""
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(texts), batch_size):
            some = texts[start : start + batch_size]
            total += len(some) * float(divergence_between(teacher, model, some))
    return total / len(texts)
