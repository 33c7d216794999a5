"""How much each parameter matters for some texts: the diagonal of the Fisher matrix."""

from collections.abc import Sequence

import torch

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.gradients.algebra import Gradient


def squared_gradients(
    model, texts: Sequence[Sequence[int]], drawn: torch.Generator | None = None
) -> dict[str, torch.Tensor]:
    """Return, by parameter, the mean over texts of the square of each text's own gradient (of its mean token loss).

    The gradient is that of the text's own tokens (the empirical Fisher diagonal), or with a generator `drawn` that of
    tokens drawn from the model's prediction at every place, which is the Fisher diagonal itself, by one draw a place
    (the difference: Kunstner et al. 2019). One text at a time: the square of a batch's mean gradient is something else.
    UserError where there are no texts.
    """
    if not len(texts):
        raise UserError("no texts to measure the importance of parameters on: give at least one")
    parameters = dict(model.named_parameters())
    total: Gradient = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for text in texts:
        tokens, _ = batches.pad([text])
        with torch.enable_grad():
            log_p = model(tokens.to(next(model.parameters()).device)).logits[0, :-1].log_softmax(-1)
            labels = tokens[0, 1:, None].to(log_p.device)
            if drawn is not None:
                labels = torch.multinomial(log_p.detach().exp().cpu(), 1, generator=drawn).to(log_p.device)
            loss = -log_p.gather(1, labels).mean()
            slopes = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, slope in zip(parameters, slopes, strict=True):
            if slope is not None:
                total[name] += slope.square() / len(texts)
    return total
