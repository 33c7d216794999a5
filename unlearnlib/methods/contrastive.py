"""Partitioned contrastive gradients (PCGU): steps in those weight vectors alone that tell one answer from another."""

from collections.abc import Mapping, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.losses import other_texts, positive
from unlearnlib.methods.path import Change, Path, along, applied, changed
from unlearnlib.methods.request import Request


def partitioned_contrast(
    request: Request,
    replacements: Mapping[str, Sequence[int]] | None = None,
    share: float = 0.09,
    step_length: float = 0.25,
    layers: str = "all",
) -> Path:
    """Return the path of steps of L2 norm `step_length` that raise the loss of the texts to forget in a `share` of the
    weight vectors alone: those in which its gradient is least like that of the same texts with another answer.

    Yu et al., "Unlearning bias in language models by partitioning gradients" (2023, Findings of ACL; no arXiv id known
    to us): 10000 vectors of BERT, about 9%; the advantaged one of two sentences is made less likely. Made for biases of
    masked models and the logit of one token; here it is the mean log p of all tokens from the first on in which the two
    texts differ, of all of them in one step, and the vectors are chosen anew at every step. A vector is a row of a
    matrix (all that goes into one unit; of an embedding one token) or a whole parameter of one dimension. Vectors
    without a gradient are not counted. With a share of 1 it is plain ascent. The effort is the length of the way, so
    its last step may be a shorter one. `replacements` are as in unlearnlib.methods.other_answers.
    """
    positive("step_length", step_length)
    if not 0 < share <= 1:
        raise UserError(f"share {share} is no part of the weight vectors: give a number above 0, at most 1")
    replaced = other_texts(request, replacements)
    selections = request.selections(layers)
    texts = [request.forget[name] for name in sorted(request.forget)]
    pairs = (texts, replaced(texts))
    spans = [_behind_shared(one, other) for one, other in zip(*pairs, strict=True)]
    walked: list[Gradient] = [{}]
    ahead: list[Change] = []

    def direction() -> Gradient:
        parts, sums = algebra.parts_of(selections), []
        with applied(request.start, walked[-1]) as model:
            for of, number in zip(pairs, (0, 1), strict=True):
                found = per_example.sum_gradient(model, of, parts, spans=[span[number] for span in spans])
                sums.append(algebra.select(found, selections))
        return least_alike(*sums, share)

    def change(effort: float) -> Gradient:
        whole = int(effort / step_length)
        while len(ahead) <= whole:
            ahead.append(along(direction()))
            walked.append(algebra.plus(walked[-1], ahead[-1](step_length)))
        return algebra.plus(walked[whole], ahead[whole](effort - whole * step_length))

    return changed(request.start, change, "L2 length of the way")


def _behind_shared(one: Sequence[int], other: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where each of two texts begins to differ from the other one, and its end."""
    shared = next((place for place, pair in enumerate(zip(one, other, strict=False)) if len(set(pair)) > 1), None)
    if not shared:
        raise UserError("a replacement has to begin like its text, and to differ from it before either ends")
    return (shared, len(one)), (shared, len(other))


def least_alike(mine: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor], share: float) -> Gradient:
    """Return the first gradient in the `share` of all weight vectors in which its cosine with the second is lowest, and
    zero in the others; of equal cosines at the edge the first by order."""
    rows = {name: value.reshape(len(value), -1) if value.dim() > 1 else value[None] for name, value in mine.items()}
    cosines = []
    for name, value in rows.items():
        beside = other[name].reshape(value.shape)
        lengths = value.norm(dim=1) * beside.norm(dim=1)
        cosine = (value * beside).sum(1) / lengths.clamp(min=torch.finfo(value.dtype).tiny)
        cosines.append(torch.where(value.any(1), cosine, torch.inf))
    every = torch.cat(cosines)
    count = max(1, round(share * int(every.isfinite().sum())))
    chosen = torch.zeros_like(every)
    chosen[every.argsort(stable=True)[:count]] = 1.0
    pieces = chosen.split([len(value) for value in rows.values()])
    return {
        name: (value * piece[:, None]).view(mine[name].shape)
        for piece, (name, value) in zip(pieces, rows.items(), strict=True)
    }
