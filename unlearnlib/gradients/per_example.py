"""The gradients of texts at the present parameters of a model."""

from collections.abc import Iterable, Iterator, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients.algebra import Gradient, add
from unlearnlib.gradients.capture import Captured, capture
from unlearnlib.gradients.rules import Factors, densify, factors, merged
from unlearnlib.models.anatomy import anatomy


def capture_at(
    model,
    sequences: Sequence[Sequence[int]],
    parts: Iterable[str] | None,
    spans: Sequence[tuple[int, int]] | None = None,
) -> Captured:
    """Return what one batch's own losses give at the model's present parameters, without any weight gradient.

    With `spans` the loss of a text is that of the tokens in its span alone (see unlearnlib.data.batches.label_weights).
    """
    where = next(model.parameters()).device
    tokens, lengths = batches.pad(sequences)
    tokens = tokens.to(where)
    if parts is not None and anatomy(model).position_weight in (parts := set(parts)):
        parts.add(anatomy(model).part(anatomy(model).embedding, "weight"))  # theirs are read from the embedding's
    with torch.enable_grad(), capture(model, parts, backward_hooks=False) as captured:
        loss = batches.text_losses(model, tokens, lengths, spans).sum()
        names = list(captured.outputs)
        grads = torch.autograd.grad(loss, [captured.outputs[name] for name in names])
    captured.output_gradients = dict(zip(names, (gradient.detach() for gradient in grads), strict=True))
    captured.outputs.clear()
    return captured


def per_example_factors(model, sequences: Sequence[Sequence[int]], parts: Iterable[str] | None = None) -> list[Factors]:
    """Return the gradient of each text's mean token loss at the model's present parameters, as factors."""
    captured = capture_at(model, sequences, parts)
    return [factors(captured, row, len(sequence)) for row, sequence in enumerate(sequences)]


def per_example_gradients(
    model, sequences: Sequence[Sequence[int]], parts: Iterable[str] | None = None
) -> Iterator[Gradient]:
    """Yield the dense gradient, by part, of each text's mean token loss at the model's present parameters.

    The tensors are views of those of a few texts: keep a clone where one of them is to outlive the others.
    """
    parts = None if parts is None else list(parts)
    captured = capture_at(model, sequences, parts)
    # One product for a few texts at once, up to 64 MB of gradients: more would cost more in fresh memory than it saves.
    together = max(1, 2**24 // sum(value.numel() for value in model.parameters()))
    for start in range(0, len(sequences), together):
        rows = slice(start, start + together)
        stacked = densify(model, factors(captured, rows), parts)
        for row in range(len(sequences[rows])):
            yield {part: value[row] for part, value in stacked.items()}


def check_exact(model) -> None:
    """Raise UserError, naming the layer, unless the gradient of every single text is what autograd gives for it alone,
    and no token sees those behind it.

    Asked once of a model before it is trained: a family may use a layer twice, or in a way that hooks do not see.
    """
    count, where = model.config.vocab_size, next(model.parameters()).device
    texts = [[0, *(7 * place % count for place in range(1, length))] for length in (6, 4)]
    family, parameters = type(model).__name__, dict(model.named_parameters())
    with torch.no_grad():
        first, other = (model(torch.tensor([[*texts[0][:4], last]], device=where)).logits[0, :4] for last in (1, 2))
    if not torch.allclose(first, other, rtol=1e-3, atol=1e-3 * float(first.abs().max())):
        raise UserError(f"a {family} lets a token see those behind it: a causal model is needed as the base_model")
    for text, ours in zip(texts, _each(model, texts), strict=True):
        tokens, lengths = batches.pad([text])
        with torch.enable_grad():
            loss = batches.text_losses(model, tokens.to(where), lengths).sum()
            slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, slope in zip(parameters, slopes, strict=True):
            mine = sum(value for part, value in ours.items() if part.partition("#")[0] == name)
            slope = torch.zeros_like(parameters[name]) if slope is None else slope
            near = 1e-3 * float(slope.abs().max()) + 1e-7
            shaped = torch.is_tensor(mine) and mine.shape == slope.shape
            if shaped and torch.allclose(mine, slope, rtol=1e-3, atol=near):
                continue
            kind = type(model.get_submodule(name.rpartition(".")[0])).__name__
            raise UserError(
                f"the gradients of single texts cannot be had of {name}, which belongs to a {kind}: a {family} cannot "
                "be the base_model here"
            )


def _each(model, texts: Sequence[Sequence[int]]) -> list[Gradient]:
    """Return the gradient of each text out of one batch; UserError where the batch does not hold them apart."""
    try:
        return [{part: value.clone() for part, value in one.items()} for one in per_example_gradients(model, texts)]
    except UserError:
        raise
    except (IndexError, RuntimeError, ValueError) as error:
        raise UserError(
            f"the gradients of single texts cannot be had of a {type(model).__name__}: it cannot be the base_model "
            f"here ({str(error).splitlines()[0][:100]})"
        ) from None


def sum_gradient(
    model,
    sequences: Sequence[Sequence[int]],
    parts: Iterable[str] | None = None,
    batch_size: int = 64,
    spans: Sequence[tuple[int, int]] | None = None,
) -> Gradient:
    """Return, by part, the sum over texts of the gradient of each text's mean token loss at the present parameters.

    With `spans` the loss of a text is that of the tokens in its span alone (see unlearnlib.data.batches.label_weights).
    """
    parts = None if parts is None else list(parts)
    total: Gradient = {}
    for start in range(0, len(sequences), batch_size):
        rows = slice(start, start + batch_size)
        captured = capture_at(model, sequences[rows], parts, None if spans is None else spans[rows])
        total = add(densify(model, merged(factors(captured)), parts), total)
    return total
