"""Gradients of single images, exact for every layer."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.functional import cross_entropy

from unlearnlib.core.errors import UserError
from unlearnlib.gradients.algebra import Gradient
from unlearnlib.gradients.rules import own_gradients
from unlearnlib.images.networks import layers


@contextmanager
def as_asked(net: torch.nn.Module) -> Iterator[None]:
    """Have a network as it is asked (dropout off, batch norm with the means it has learnt) while the block is open: in
    training a batch norm's output, and so an image's loss, depends on the other images of the batch."""
    was = net.training
    net.eval()
    try:
        yield
    finally:
        net.train(was)


def summed(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Gradient:
    """Return the gradient of the sum of these images' cross-entropies (nats), by parameter."""
    names, parameters = zip(*net.named_parameters(), strict=True)
    with as_asked(net):
        loss = cross_entropy(net(images), labels, reduction="sum")
        return dict(zip(names, torch.autograd.grad(loss, parameters), strict=True))


def of_each(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Gradient:
    """Return each image's own gradient of its cross-entropy, [n, ...] by parameter.

    From what went into every layer and the gradient of what came out of it, caught in one forward and backward pass:
    each layer is run once more on each image alone (see unlearnlib.gradients.rules.own_gradients). UserError for a
    layer that does not turn one tensor into another.
    """
    caught: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    owners = layers(net)

    def hook(name: str):
        def keep(module, inputs, output):
            if len(inputs) != 1 or not isinstance(output, torch.Tensor):
                raise UserError(f"{name}: a {type(module).__name__} does not turn one tensor into another")
            caught.append((name, inputs[0].detach(), output))

        return keep

    handles = [net.get_submodule(name).register_forward_hook(hook(name)) for name in owners]
    try:
        with as_asked(net):
            loss = cross_entropy(net(images), labels, reduction="sum")
    finally:
        for handle in handles:  # before the layers are run again
            handle.remove()
    slopes = torch.autograd.grad(loss, [output for _, _, output in caught])
    found: Gradient = {}
    with as_asked(net):
        for (name, incoming, _), slope in zip(caught, slopes, strict=True):
            for parameter, value in own_gradients(net.get_submodule(name), incoming, slope).items():
                key = f"{name}.{parameter}" if name else parameter
                found[key] = found[key] + value if key in found else value  # a layer that is used twice
    return {name: found[name] for name, _ in net.named_parameters()}
