"""Unlearning methods: one method, one small file, one signature.

A method is a function `method(task, layers, **options) -> Path`. A Path maps a step size to the change of the
parameters, a dict from parameter name to tensor; the step size is the L2 norm of that change (for a live method, the
length of the way walked). No method evaluates itself, and none changes the model in `task`.
"""

from unlearnlib.unlearning.live import live_ascent
from unlearnlib.unlearning.preconditioned import preconditioned_ascent
from unlearnlib.unlearning.random_direction import random_direction
from unlearnlib.unlearning.recorded import recorded_ascent
from unlearnlib.unlearning.task import Path, Task, applied, apply

METHODS = {
    "recorded": recorded_ascent,
    "preconditioned": preconditioned_ascent,
    "live": live_ascent,
    "random": random_direction,
}

__all__ = [
    "METHODS",
    "Path",
    "Task",
    "applied",
    "apply",
    "live_ascent",
    "preconditioned_ascent",
    "random_direction",
    "recorded_ascent",
]
