"""Gradient ascent as it was published: an optimizer that descends along minus the loss of the forget set."""

from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def trained_ascent(
    request: Request, learning_rate: float = 2e-4, steps: int = 48, every: int = 3, batch_size: int = 0
) -> Path:
    """Return the path that descends along -L(forget), L the mean loss of a batch's texts.

    Jang et al., "Knowledge unlearning for mitigating privacy risks in language models" (2022, arXiv 2210.01504).
    Theirs: Adam, learning rate 5e-5, constant, one batch of the whole forget set (`batch_size` 0), no weight decay, at
    most 20 epochs, stopped where the text is known no better than unseen ones. What differs: the learning rate is ours,
    Adam's second beta is 0.999 (theirs 0.98), a step's gradient has a norm of 1 at most, and a text counts by its mean,
    however long it is. The method `live` takes plain gradient steps of one length instead.
    """

    def loss(model, forget, retained):
        return -mean_loss(model, forget)

    how = Steps(steps, every, batch_size or len(request.forget), learning_rate)
    return trained(request, loss, how, request.forget, "gradient ascent")
