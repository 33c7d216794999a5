"""Who's Harry Potter: training on what a model would say that leans less towards the texts to forget than it could."""

import torch

from unlearnlib.methods.losses import centred, divergence, not_negative, predictions
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Later, Request
from unlearnlib.methods.trained import Steps, further_trained, trained


def generic_logits(usual: torch.Tensor, reinforced: torch.Tensor, alpha: float) -> torch.Tensor:
    """Return usual - alpha * ReLU(reinforced - usual), both less their mean over the vocabulary: lower for the tokens
    that further training on the texts has made likelier. With alpha 0 the usual ones."""
    usual, reinforced = centred(usual), centred(reinforced)
    return usual - alpha * torch.relu(reinforced - usual)


def generic_predictions(
    request: Request,
    alpha: float = 5.0,
    reinforce_steps: int = 15,
    reinforce_rate: float = 8e-4,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along KL(generic || model) on the texts to forget; generic are the predictions of
    generic_logits, of the model to start from and one that was trained on these texts for `reinforce_steps` more.

    Eldan & Russinovich, "Who's Harry Potter? Approximate unlearning in LLMs" (2023, arXiv 2310.02238): alpha 5, three
    epochs to reinforce and two to unlearn (as we remember them, not checked; as MUSE takes it alpha is 1). What
    differs: logits are centred, since they mean nothing up to a constant; whole distributions are learnt, theirs the
    likeliest token; names and places are not put in other words first, which they did with a dictionary from GPT-4 and
    which is the other half of their method. Where a model has the texts by heart, further training changes little, and
    little is generic about the target. The further training counts in `seconds`, not in the effort.
    """
    not_negative("alpha", alpha)
    reinforced = reinforced_model(request, Steps(reinforce_steps, reinforce_steps, batch_size, reinforce_rate))

    def loss(model, forget, retained):
        logits, weights = predictions(model, forget)
        return divergence(generic_target(request, reinforced, forget, alpha), logits, weights)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.forget, "generic predictions")


def reinforced_model(request: Request, how: Steps) -> Later:
    """Return the model to start from, trained by `how` on the texts to forget: made when it is first asked for."""
    return Later(lambda: further_trained(request.start, request.forget, how, request.seed, "reinforced model"))


def generic_target(request: Request, reinforced: Later, texts, alpha: float) -> torch.Tensor:
    """Return the generic logits of some texts [n, width, vocabulary], without a gradient."""
    with torch.no_grad():
        (usual, _), (more, _) = (predictions(model, texts) for model in (request.start, reinforced.value))
        return generic_logits(usual, more, alpha)
