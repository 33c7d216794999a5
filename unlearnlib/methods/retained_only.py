"""Fine-tuning on the retained texts alone, in the hope that the rest fades ("catastrophic forgetting")."""

from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def retained_only(
    request: Request, learning_rate: float = 4e-4, steps: int = 48, every: int = 3, batch_size: int = 16
) -> Path:
    """Return the path that descends along L(retained), the mean loss of a batch of retained texts, and sees no others.

    A baseline of Golatkar et al. (2019, arXiv 1911.04933, "fine-tune") and of most later work; the variants that train
    the last layers alone are Goel et al. (2022, arXiv 2201.06640). There are no defaults to take over: those published
    are of image models. Where the model knows the retained texts already there is little to learn, and so little to be
    forgotten: that it does not come to the target is what to expect.
    """

    def loss(model, forget, retained):
        return mean_loss(model, retained)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request.having(forget=request.retain), loss, how, request.retain, "retained texts alone")
