"""Control: a step of the same length in a random direction."""

import torch

from unlearnlib.methods.task import Path, Task, straight


def random_direction(task: Task, layers: str = "all") -> Path:
    """Return the path along a Gaussian direction in the parameters of `layers`, drawn from the task's seed."""
    generator = torch.Generator().manual_seed(task.seed)
    parameters = dict(task.model.named_parameters())
    return straight(
        {
            name: selection.mask(torch.randn(parameters[name].shape, generator=generator).to(parameters[name]))
            for name, selection in task.selections(layers).items()
        }
    )
