"""From what was caught to gradients: one exact rule for each type of layer."""

from collections.abc import Iterable

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.gradients.capture import Captured
from unlearnlib.models.layers import WPE, WTE

Factors = dict[str, torch.Tensor]


def _normalised(module: torch.nn.LayerNorm, inputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.layer_norm(inputs, module.normalized_shape, eps=module.eps)


def factors(captured: Captured, rows: int | slice = slice(None), length: int | None = None) -> Factors:
    """Return the exact factors of one text's gradient from a captured batch, or of several texts at once.

    Keys are `module/input` (activations [T, d_in], or token ids [T] for embeddings) and `module/output_gradient`
    ([T, d_out]); a layer norm keeps its two small gradients densely. A slice of rows gives each a first dimension more.
    `length` is the text's token count: positions beyond it carry no loss and are dropped (None keeps them all). The
    factors are views of what was captured where possible.
    """
    result = {}
    # The last token predicts nothing, so it carries no gradient in any layer: T - 1 positions are exact.
    keep = slice(None if length is None else length - 1)
    for name, module in captured.modules.items():
        if name not in captured.output_gradients:
            continue
        # wpe is looked up once for the whole batch: [1, T], its gradient summed over texts. wte's output gradient is
        # the same at every text and position, so wpe's is read from there and stored once.
        if name == "transformer.wpe":
            if "transformer.wte" not in captured.output_gradients:
                raise UserError("the position embedding's gradient is read from the input embedding's: capture both")
            texts = captured.output_gradients["transformer.wte"].shape[0]
            result[f"{name}/input"] = captured.inputs[name].expand(texts, -1)[rows, keep]
            continue
        incoming, outgoing = captured.inputs[name][rows, keep], captured.output_gradients[name][rows, keep]
        if isinstance(module, torch.nn.LayerNorm):
            result[f"{name}/weight"] = (outgoing * _normalised(module, incoming)).sum(-2)
            result[f"{name}/bias"] = outgoing.sum(-2)
        else:
            result[f"{name}/input"], result[f"{name}/output_gradient"] = incoming, outgoing
    return result


def one_text(stored: Factors, row: int, length: int) -> Factors:
    """Return copies of the factors of one text of `length` tokens out of the `stored` factors of several."""
    return {key: (value[row] if _is_dense(key) else value[row, : length - 1]).clone() for key, value in stored.items()}


def merged(stored: Factors) -> Factors:
    """Return the factors of the sum of several texts' gradients: the tokens of all, as if they were one text's."""
    return {key: value.sum(0) if _is_dense(key) else value.flatten(0, 1) for key, value in stored.items()}


def _is_dense(key: str) -> bool:
    return key.endswith(("/weight", "/bias"))


def densify(model, stored: Factors, parts: Iterable[str] | None = None) -> Gradient:
    """Return the dense gradient, by part, that `stored` factors hold exactly.

    Factors of several texts give their gradients stacked along a first dimension.
    """
    wanted = None if parts is None else set(parts)
    result: Gradient = {}

    def want(part: str) -> bool:
        return wanted is None or part in wanted

    for name in dict.fromkeys(key.partition("/")[0] for key in stored):
        module = model.get_submodule(name)
        if isinstance(module, torch.nn.LayerNorm):
            for parameter in ("weight", "bias"):
                if want(f"{name}.{parameter}"):
                    result[f"{name}.{parameter}"] = stored[f"{name}/{parameter}"]
            continue
        source = "transformer.wte" if name == "transformer.wpe" else name
        incoming, outgoing = stored[f"{name}/input"], stored[f"{source}/output_gradient"]
        if isinstance(module, torch.nn.Embedding):
            part = f"{WTE}#input" if name == "transformer.wte" else WPE
            if want(part):
                zeros = outgoing.new_zeros(*outgoing.shape[:-2], *module.weight.shape)
                result[part] = zeros.scatter_add_(-2, incoming.unsqueeze(-1).expand_as(outgoing), outgoing)
        elif name == "lm_head":
            if want(f"{WTE}#output"):
                result[f"{WTE}#output"] = outgoing.mT @ incoming
        else:
            if want(f"{name}.weight"):
                result[f"{name}.weight"] = incoming.mT @ outgoing
            if want(f"{name}.bias"):
                result[f"{name}.bias"] = outgoing.sum(-2)
    return result
