"""From what was caught to gradients: a fast exact rule for linear layers and embeddings, one exact rule for all others.

Of a linear layer and an embedding the factors are kept: what went in, and the gradient of what came out. Every other
layer that owns parameters (a normalisation, as a rule) is small: of it each text's gradient is kept as it is.
"""

from collections.abc import Callable, Iterable

import torch
from torch.func import functional_call, vjp, vmap

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.gradients.capture import Captured
from unlearnlib.models.anatomy import anatomy

Factors = dict[str, torch.Tensor]
FACTORS = ("input", "output_gradient")


def _linear(_module, incoming: torch.Tensor, outgoing: torch.Tensor) -> torch.Tensor:
    return outgoing.mT @ incoming


def _looked_up(module, incoming: torch.Tensor, outgoing: torch.Tensor) -> torch.Tensor:
    zeros = outgoing.new_zeros(*outgoing.shape[:-2], *module.weight.shape)
    result = zeros.scatter_add_(-2, incoming.unsqueeze(-1).expand_as(outgoing), outgoing)
    if module.padding_idx is not None:  # the token of which torch keeps no gradient
        result[..., module.padding_idx, :] = 0
    return result


# The gradient of a layer's weight from its factors, for these very types: one that is derived from them may do more.
FAST: dict[type, Callable] = {torch.nn.Linear: _linear, torch.nn.Embedding: _looked_up}


def own_gradients(module, incoming: torch.Tensor, outgoing: torch.Tensor, one: bool = False) -> dict[str, torch.Tensor]:
    """Return each text's gradient of every parameter that a module owns, by name: the exact rule for any layer.

    incoming and outgoing hold, a row a text, what went into the module and the gradient of what came out of it (`one`:
    of a single text, without a dimension for rows). The module is run once more on each row alone, and the gradient of
    its output is taken back to its parameters.
    """
    if type(module) is torch.nn.LayerNorm:  # the same, in closed form
        normal = torch.nn.functional.layer_norm(incoming, module.normalized_shape, eps=module.eps)
        found = {"weight": (outgoing * normal).sum(-2), "bias": outgoing.sum(-2)}
        return {name: value for name, value in found.items() if getattr(module, name) is not None}
    if one:
        return {name: value[0] for name, value in own_gradients(module, incoming[None], outgoing[None]).items()}
    parameters = {name: value.detach() for name, value in module.named_parameters(recurse=False)}

    def of_one(row: torch.Tensor, slope: torch.Tensor) -> dict[str, torch.Tensor]:
        _, back = vjp(lambda values: functional_call(module, values, (row[None],)), parameters)
        return back(slope[None])[0]

    return vmap(of_one)(incoming, outgoing)


def factors(captured: Captured, rows: int | slice = slice(None), length: int | None = None) -> Factors:
    """Return the exact factors of one text's gradient from a captured batch, or of several texts at once.

    Keys are `module/input` (activations [T, d_in], or token ids [T] for embeddings) and `module/output_gradient`
    ([T, d_out]); of layers without a fast rule, such as a layer norm, `module/<parameter>` holds the gradient itself.
    A slice of rows gives each a first dimension more. `length` is the text's token count: positions beyond it carry no
    loss and are dropped (None keeps them all). The factors are views of what was captured where possible.
    """
    result = {}
    # The last token predicts nothing, so it carries no gradient in any layer: T - 1 positions are exact.
    keep = slice(None if length is None else length - 1)
    known = captured.anatomy
    for name, module in captured.modules.items():
        if name not in captured.output_gradients:
            continue
        # Positions are looked up once for the whole batch: [1, T], their gradient summed over texts. The embedding's
        # output gradient is the same at every text and position, so that of positions is read from there.
        if name == known.positions:
            if known.embedding not in captured.output_gradients:
                raise UserError("the position embedding's gradient is read from the input embedding's: capture both")
            texts = captured.output_gradients[known.embedding].shape[0]
            result[f"{name}/input"] = captured.inputs[name].expand(texts, -1)[rows, keep]
            continue
        incoming, outgoing = captured.inputs[name][rows, keep], captured.output_gradients[name][rows, keep]
        if type(module) in FAST:
            result[f"{name}/input"], result[f"{name}/output_gradient"] = incoming, outgoing
        else:
            found = own_gradients(module, incoming, outgoing, one=isinstance(rows, int))
            result |= {f"{name}/{parameter}": value for parameter, value in found.items()}
    return result


def one_text(stored: Factors, row: int, length: int) -> Factors:
    """Return copies of the factors of one text of `length` tokens out of the `stored` factors of several."""
    return {key: (value[row] if _is_dense(key) else value[row, : length - 1]).clone() for key, value in stored.items()}


def merged(stored: Factors) -> Factors:
    """Return the factors of the sum of several texts' gradients: the tokens of all, as if they were one text's."""
    return {key: value.sum(0) if _is_dense(key) else value.flatten(0, 1) for key, value in stored.items()}


def _is_dense(key: str) -> bool:
    return key.rpartition("/")[2] not in FACTORS


def densify(model, stored: Factors, parts: Iterable[str] | None = None) -> Gradient:
    """Return the dense gradient, by part, that `stored` factors hold exactly.

    Factors of several texts give their gradients stacked along a first dimension.
    """
    wanted, known = None if parts is None else set(parts), anatomy(model)
    result: Gradient = {}

    def want(part: str) -> bool:
        return wanted is None or part in wanted

    for key, value in stored.items():
        name, _, what = key.partition("/")
        if what not in FACTORS:
            if want(part := known.part(name, what)):
                result[part] = value
            continue
        if what != "input":
            continue
        module = model.get_submodule(name)
        outgoing = stored[f"{known.embedding if name == known.positions else name}/output_gradient"]
        if want(part := known.part(name, "weight")):
            result[part] = FAST[type(module)](module, value, outgoing)
        if getattr(module, "bias", None) is not None and want(part := known.part(name, "bias")):
            result[part] = outgoing.sum(-2)
    return result
