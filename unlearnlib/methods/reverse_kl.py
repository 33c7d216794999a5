"""Distillation by the reverse KL divergence from a teacher that leans away from the texts to forget (RKLD)."""

from unlearnlib.methods.harry_potter import generic_target, reinforced_model
from unlearnlib.methods.losses import divergence, not_negative, predictions
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, trained


def reverse_kl_distillation(
    request: Request,
    alpha: float = 5.0,
    reinforce_steps: int = 15,
    reinforce_rate: float = 8e-4,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along KL(model || teacher) on the texts to forget, where the teacher's logits are
    those of unlearnlib.methods.harry_potter.generic_logits.

    Wang, Zi, Sun, Zhao & Qin, "RKLD: reverse KL-divergence-based knowledge distillation for unlearning personal
    information in large language models" (2024, arXiv 2406.01983). The student comes first: it leaves what the teacher
    gives no chance rather than spreading over all that the teacher allows. Read as a summary alone: the form of the
    teacher is from memory, and alpha and the numbers of steps are ours. Once model and teacher agree nothing moves any
    more, so how far it can go is up to alpha. The further training counts in `seconds`, not in the effort.
    """
    not_negative("alpha", alpha)
    reinforced = reinforced_model(request, Steps(reinforce_steps, reinforce_steps, batch_size, reinforce_rate))

    def loss(model, forget, retained):
        logits, weights = predictions(model, forget)
        return divergence(logits, generic_target(request, reinforced, forget, alpha), weights)

    how = Steps(steps, every, batch_size, learning_rate)
    return trained(request, loss, how, request.forget, "reverse KL distillation")
