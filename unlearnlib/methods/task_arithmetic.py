"""Task arithmetic: what training on the forget set adds to a model, taken off again (Ilharco et al. 2022)."""

from pathlib import Path as FilePath

from safetensors.torch import load_file, save_file

from unlearnlib.gradients.algebra import Gradient
from unlearnlib.methods.path import Path, change_between, scaled
from unlearnlib.methods.request import Request
from unlearnlib.methods.trained import Steps, further_trained


def negated_task_vector(
    request: Request, learning_rate: float = 8e-4, steps: int = 18, batch_size: int = 16, layers: str = "all"
) -> Path:
    """Return the path on which the task vector of the forget set is subtracted so many times: its effort is their
    scaling coefficient lambda.

    Ilharco et al., "Editing models with task arithmetic" (2022, arXiv 2212.04089): the vector is what `steps` steps on
    the forget set alone add to the base model. What differs: it is taken off the fine-tuned model, not off the base
    model as theirs; lambda is whatever the stop asks for, theirs lies between 0 and 1 by a validation set. Its training
    is AdamW with a constant learning rate, by default the peak of the fine-tuning; made once and kept (request.keep).
    """
    how = Steps(steps, steps, batch_size, learning_rate)
    return _negated(request, request.base, how, layers)


def negated_own_task_vector(
    request: Request, learning_rate: float = 8e-4, steps: int = 18, batch_size: int = 16, layers: str = "all"
) -> Path:
    """Return the same path with the task vector of the model to start from: what further training on the forget set
    adds to it.

    So in MUSE (Shi et al. 2024, arXiv 2407.06460), with 10 epochs, learning rate 1e-5 and lambda 5. Where a model has
    the texts by heart there is little left to train, and the vector is short and mostly noise.
    """
    how = Steps(steps, steps, batch_size, learning_rate)
    return _negated(request, request.start, how, layers)


def _negated(request: Request, first, how: Steps, layers: str) -> Path:
    selections = request.selections(layers)

    def compute(folder: FilePath) -> None:
        last = further_trained(first, request.forget, how, request.seed, "task vector")
        change = change_between(first, last)
        save_file({name: value.contiguous().cpu() for name, value in change.items()}, folder / "vector.safetensors")

    vector = load_file(request.keep(compute, "task vector") / "vector.safetensors")
    change: Gradient = {name: -selection.mask(vector[name]) for name, selection in selections.items()}
    return scaled(request.start, change)
