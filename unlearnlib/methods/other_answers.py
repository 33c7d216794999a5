"""Training on other answers in place of those to forget: random labels, and "I don't know" (IDK)."""

from collections.abc import Mapping, Sequence

from unlearnlib.methods.losses import not_negative, other_texts
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, mean_loss, trained


def other_answers(
    request: Request,
    replacements: Mapping[str, Sequence[int]] | None = None,
    retain_weight: float = 1.0,
    learning_rate: float = 2e-4,
    steps: int = 48,
    every: int = 3,
    batch_size: int = 8,
) -> Path:
    """Return the path that descends along L(replaced) + retain_weight * L(retained): the texts to forget are trained
    with another answer, which `replacements` has as the token ids of the whole text, by id.

    With other people's answers it is random relabelling: Graves, Nagisetty & Ganesh, "Amnesiac machine learning" (2020,
    arXiv 2010.10981), who draw a wrong label once and train on. With a sentence that says nothing it is the baseline
    IDK of TOFU (Maini et al. 2024, arXiv 2401.06121), who draw one of 100 such sentences anew each time and take one
    mean over both kinds of texts. Here a text keeps the one it is given. The learning rate is ours.
    unlearnlib.experiment.replacements makes both kinds; an answer among those that a question offers would train what
    is measured, so there it is none of them. UserError where a text has no replacement.
    """
    not_negative("retain_weight", retain_weight)
    replaced = other_texts(request, replacements)

    def loss(model, forget, retained):
        return mean_loss(model, replaced(forget)) + retain_weight * mean_loss(model, retained)

    return trained(request, loss, Steps(steps, every, batch_size, learning_rate), request.retain, "other answers")
