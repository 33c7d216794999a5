"""What a computation takes, counted and not timed: texts read forwards and backwards, and memory of tensors.

Counts do not depend on the machine, so that a method's work can be held against that of retraining anywhere.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

BACKWARD = 2.0  # a backward pass is about two forward passes: one for what came in, one for the weights


@dataclass(frozen=True)
class Passes:
    """How many texts a language model has read: `forward`, and of these with a gradient, `backward`."""

    forward: int = 0
    backward: int = 0

    @property
    def work(self) -> float:
        """Both in one number: texts read forwards, a backward pass counted as BACKWARD of them."""
        return self.forward + BACKWARD * self.backward

    def __sub__(self, other: "Passes") -> "Passes":
        return Passes(self.forward - other.forward, self.backward - other.backward)


@dataclass
class Count:
    """What has been read so far (`now`), and what had been after each step of the optimizer that stepped last."""

    now: Passes = Passes()
    steps: list[Passes] = field(default_factory=list)
    optimizer: object = None

    def until(self, step: int) -> Passes:
        """Return what had been read when that optimizer had taken so many steps; 0: nothing was needed."""
        return self.steps[step - 1] if step else Passes()


@contextmanager
def counted() -> Iterator[Count]:
    """Count, while the context is open, every text that any language model of transformers reads.

    A text counts as read backwards where what was computed of it has a gradient to come: that it is then taken once and
    through the whole network is assumed, which is too much where a loss stops in the middle of it.
    """
    count = Count()

    def read(module, inputs, output) -> None:
        hidden = getattr(output, "last_hidden_state", None)  # the body's, whatever stands on it: once a pass
        if hidden is not None:
            slopes = torch.is_grad_enabled() and hidden.requires_grad
            count.now = Passes(count.now.forward + len(hidden), count.now.backward + slopes * len(hidden))

    def stepped(optimizer, args, options) -> None:
        if optimizer is not count.optimizer:
            count.optimizer, count.steps = optimizer, []
        count.steps.append(count.now)

    hooks = torch.nn.modules.module.register_module_forward_hook(read), register_optimizer_step_post_hook(stepped)
    try:
        yield count
    finally:
        for hook in hooks:
            hook.remove()


class Memory(TorchDispatchMode):
    """While it is open: `peak`, the most bytes that the tensors made in it took at one time. What stood before is not
    in it, nor what an operation takes inside itself and gives back."""

    def __init__(self):
        super().__init__()
        self.held = self.peak = 0
        self.known: dict[int, weakref.ref] = {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        before = {id(one.untyped_storage()) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        made = function(*args, **(kwargs or {}))
        for one in tree_leaves(made):
            if isinstance(one, torch.Tensor) and one.layout is torch.strided:
                self._seen(one.untyped_storage(), before)
        return made

    def _seen(self, storage, before: set[int]) -> None:
        name, size = id(storage), storage.nbytes()
        if name in before or name in self.known:
            return

        def gone(_) -> None:
            if self.known.pop(name, None) is not None:
                self.held -= size

        self.known[name] = weakref.ref(storage, gone)
        self.held += size
        self.peak = max(self.peak, self.held)
