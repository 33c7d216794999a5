"""Influence scores that need gradients alone: products of per-example gradients, and of activations with gradients.

Signs and scales: see unlearnlib.influence.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients import algebra, per_example
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.gradients.rules import Factors, densify, factors
from unlearnlib.models.anatomy import Anatomy, anatomy
from unlearnlib.models.layers import Selection

Sequences = Sequence[Sequence[int]]
Spans = Sequence[tuple[int, int]] | None
# Entries of stacked gradients: at a time (16 MB, which malloc hands out again; more would be fresh memory every time),
# and of the queries in one parameter, so that they are made once (1 GB).
LARGEST, KEPT = 2**22, 2**28


def gradient_products(
    model,
    points: Sequences,
    queries: Sequences,
    selections: Mapping[str, Selection],
    precondition: Mapping[str, torch.Tensor] | None = None,
    spans: Spans = None,
) -> torch.Tensor:
    """Return float64 [points, queries]: the dot product of each point's gradient with each query's, in `selections`.

    To first order a gradient step on the point lowers the query's loss in proportion to it; summed over training it is
    TracIn (Pruthi et al. 2020). It is also the second reading of the paper's "activations and tensors": for a linear
    layer it equals the products of the activations of two texts times those of their output gradients, summed over
    pairs of tokens. `precondition` multiplies the points' gradients entry by entry, by parameter name (for example with
    one over the root of the optimizer's second moments). With `spans` a query's loss is that of the tokens in its span
    alone, such as its answer. Raises UserError for an empty set and for NaN in a gradient.
    """
    first, second = _capture(model, points, selections), _capture(model, queries, selections, spans)
    result = torch.zeros(len(points), len(queries), dtype=torch.float64)
    for name, selection in selections.items():
        factor = None if precondition is None else _factor(precondition, name)

        def rights(name=name, selection=selection):
            return _stacked(model, second, len(queries), name, selection)

        fits = len(queries) * model.get_parameter(name).numel() <= KEPT
        kept = list(rights()) if fits else None
        for rows, left in _stacked(model, first, len(points), name, selection):
            left = left if factor is None else left * factor
            for columns, right in kept if fits else rights():
                result[rows, columns] += (left @ right.T).double().cpu()
    return result


def products_with(
    model, sequences: Sequences, vectors: Sequence[Gradient], selections: Mapping[str, Selection], spans: Spans = None
) -> torch.Tensor:
    """Return float64 [sequences, vectors]: the dot product of each text's gradient with each of some vectors.

    A vector is a dict by parameter name, such as the solution of unlearnlib.influence.inverse. `spans` as in
    gradient_products, of the texts.
    """
    captured = _capture(model, sequences, selections, spans)
    result = torch.zeros(len(sequences), len(vectors), dtype=torch.float64)
    for name, selection in selections.items():
        right = torch.stack([vector[name].flatten() for vector in vectors])
        for rows, left in _stacked(model, captured, len(sequences), name, selection):
            result[rows] += (left @ right.to(left).T).double().cpu()
    return result


def self_influence(
    model, sequences: Sequences, selections: Mapping[str, Selection], spans: Spans = None
) -> torch.Tensor:
    """Return float64 [sequences]: the squared norm of each text's gradient, its dot product with itself.

    Large for a text that still moves the model: one that is not learned, or is being unlearned. `spans` as in
    gradient_products, of the texts.
    """
    captured = _capture(model, sequences, selections, spans)
    return _row_by_row(model, captured, captured, len(sequences), selections)


def paired_products(model, points: Sequences, partners: Sequences, selections: Mapping[str, Selection]) -> torch.Tensor:
    """Return float64 [points]: the dot product of each point's gradient with that of its own partner alone."""
    if len(points) != len(partners):
        raise UserError(f"{len(points)} points have {len(partners)} partners: give each point one")
    first, second = (_capture(model, sequences, selections) for sequences in (points, partners))
    return _row_by_row(model, first, second, len(points), selections)


def cosine_scores(products: torch.Tensor, own_points: torch.Tensor, own_queries: torch.Tensor) -> torch.Tensor:
    """Return [points, queries]: gradient dot products divided by both norms, in [-1, 1].

    `own_points` and `own_queries` are the self-influences (squared norms). Without the norms a text with a large
    gradient no longer looks influential on everything (Barshan et al. 2020 divide by the point's norm alone).
    """
    return products / (own_points.sqrt()[:, None] * own_queries.sqrt()[None, :]).clamp_min(1e-30)


def tracin(
    checkpoints: Iterable[tuple[torch.nn.Module, float]],
    points: Sequences,
    queries: Sequences,
    selections: Mapping[str, Selection],
    spans: Spans = None,
) -> torch.Tensor:
    """Return float64 [points, queries]: gradient dot products summed over checkpoints, each times its learning rate.

    `checkpoints` yields (model, learning rate), one an epoch as a rule: TracInCP (Pruthi et al. 2020, equation 1).
    """
    total = None
    for model, learning_rate in checkpoints:
        products = learning_rate * gradient_products(model, points, queries, selections, spans=spans)
        total = products if total is None else total + products
    if total is None:
        raise UserError("TracIn needs at least one checkpoint: fine-tune with checkpoints first")
    return total


def activation_gradient_products(model, sequences: Sequences, batch_size: int = 64) -> dict[str, torch.Tensor]:
    """Return float64 [sequences] by layer: the sum over tokens of the product of the layer's output with its gradient.

    The first reading of the paper's "dot product of activations and gradients": to first order, how much a text's loss
    would rise if the layer's activations were enlarged, so minus what it would rise if they were taken away. Layers:
    `embedding` (what goes into the first block), `h.0` and so on, `ln_f` if there is one; nats.
    """
    _check_some(sequences)
    where = next(model.parameters()).device
    known = anatomy(model)
    blocks = {f"h.{index}": name for index, name in enumerate(known.blocks)}
    modules = {**blocks, **({"ln_f": known.norm} if known.norm else {})}
    names = ["embedding", *modules]
    result = {name: torch.zeros(len(sequences), dtype=torch.float64) for name in names}
    for start in range(0, len(sequences), batch_size):
        rows = slice(start, start + batch_size)
        caught: dict[str, torch.Tensor] = {}

        def keep(name, caught=caught):
            def hook(_module, _inputs, output):
                caught[name] = output[0] if isinstance(output, tuple) else output

            return hook

        def keep_first(_module, inputs, named, caught=caught):  # what goes into the first block has come out of these
            caught["embedding"] = inputs[0] if inputs else named["hidden_states"]

        first_block = model.get_submodule(known.blocks[0])
        handles = [first_block.register_forward_pre_hook(keep_first, with_kwargs=True)]
        handles += [model.get_submodule(module).register_forward_hook(keep(name)) for name, module in modules.items()]
        try:
            with torch.enable_grad():
                tokens, lengths = batches.pad(sequences[rows])
                loss = batches.text_losses(model, tokens.to(where), lengths).sum()
                slopes = torch.autograd.grad(loss, [caught[name] for name in names])
        finally:
            for handle in handles:
                handle.remove()
        for name, slope in zip(names, slopes, strict=True):
            # Padding has no part in the loss, so its gradient is zero there and no mask is needed.
            result[name][rows] = (caught[name].detach() * slope).double().sum((1, 2)).cpu()
    return result


def _check_some(sequences: Sequences) -> None:
    if not len(sequences):
        raise UserError("no texts to score: give at least one point and one query")


def _capture(model, sequences: Sequences, selections: Mapping[str, Selection], spans: Spans = None) -> Factors:
    """Return the exact factors of all texts' gradients, stacked."""
    _check_some(sequences)
    return factors(per_example.capture_at(model, sequences, algebra.parts_of(selections), spans))


def _row_by_row(
    model, first: Factors, second: Factors, count: int, selections: Mapping[str, Selection]
) -> torch.Tensor:
    """Return float64 [count]: the product of each text's gradient in `first` with the same row's in `second`."""
    result, known = torch.zeros(count, dtype=torch.float64), anatomy(model)
    for name, selection in selections.items():
        uses = _uses(known, name, selection)
        if selection.rows is None and all(f"{module}/output_gradient" in first for module in uses):
            products = _over_token_pairs(first, second, known, uses)
            if not torch.isfinite(products).all():
                raise UserError(_broken(name))
            result += products.cpu()
            continue
        both = (_stacked(model, stored, count, name, selection) for stored in (first, second))
        for (rows, left), (_, right) in zip(*both, strict=True):
            result[rows] += (left.double() * right.double()).sum(1).cpu()
    return result


def _uses(known: Anatomy, name: str, selection: Selection) -> list[str]:
    """Return the modules whose factors hold a parameter's gradient: of a tied embedding those of the chosen halves."""
    if selection.halves is None:
        return [name.removesuffix(".weight")]
    return [module for half, module in (("output", known.head), ("input", known.embedding)) if half in selection.halves]


def _over_token_pairs(first: Factors, second: Factors, known: Anatomy, uses: Sequence[str]) -> torch.Tensor:
    """Return float64 [texts]: products of gradients of one weight from the factors of its uses, row by row.

    The product of two sums of outer products is a sum over pairs of tokens of (input . input) (output . output): no
    matrix is ever formed, which is cheaper where texts are short and layers wide. An embedding's inputs are token ids.
    """
    total = torch.zeros((), dtype=torch.float64)
    for module in uses:
        one, other = first[f"{module}/input"], second[f"{module}/input"]
        inputs = one.unsqueeze(2) == other.unsqueeze(1) if module == known.embedding else one @ other.mT
        outputs = first[f"{module}/output_gradient"] @ second[f"{module}/output_gradient"].mT
        total = total + (inputs * outputs).double().sum((1, 2)).cpu()
    if len(uses) == 2:
        total = total + (_across(first, second, known) + _across(second, first, known)).cpu()
    return total


def _across(looked_up: Factors, put_out: Factors, known: Anatomy) -> torch.Tensor:
    """Return float64 [texts]: the input half of the tied embedding's gradient times the output half's."""
    ids, slopes = looked_up[f"{known.embedding}/input"], looked_up[f"{known.embedding}/output_gradient"]
    hidden, logits = put_out[f"{known.head}/input"], put_out[f"{known.head}/output_gradient"]
    at_ids = logits.gather(2, ids.unsqueeze(1).expand(-1, logits.shape[1], -1))
    return (at_ids * (hidden @ slopes.mT)).double().sum((1, 2))


def _broken(name: str) -> str:
    return f"the gradient of {name} holds NaN or infinity: the model is broken, or a text too long"


def _stacked(
    model, stored: Factors, count: int, name: str, selection: Selection
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield (rows, matrix [rows, entries]): the flattened gradients of some texts in one parameter, a few at a time."""
    parts = algebra.parts_of({name: selection})
    shape = model.get_parameter(name).shape
    mask = selection.mask(torch.ones_like(model.get_parameter(name).data)) if selection.rows else None
    known = anatomy(model)
    owners = {name.rpartition(".")[0], known.head, known.embedding}  # the embeddings share what was captured
    mine = {key: value for key, value in stored.items() if key.partition("/")[0] in owners}
    together = max(1, LARGEST // shape.numel())
    for start in range(0, count, together):
        rows = slice(start, min(start + together, count))
        dense = densify(model, {key: value[rows] for key, value in mine.items()}, parts)
        matrix = sum(dense[part] for part in parts)
        matrix = (matrix if mask is None else matrix * mask).flatten(1)
        if not torch.isfinite(matrix).all():
            raise UserError(_broken(name))
        yield rows, matrix


def _factor(precondition: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name not in precondition:
        raise UserError(f"no preconditioner for {name}: give one for every parameter of these layers")
    return precondition[name].flatten()
