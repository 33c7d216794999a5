"""Networks that classify images: a small one for the default run, ResNet-18 of transformers, and their layers."""

import torch
from torch.nn.functional import max_pool2d, relu

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.images.pictures import Pictures

WIDTHS = (8, 16, 32, 128)  # channels of three convolutions, then of a fully connected layer


class Small(torch.nn.Module):
    """Three convolutions of 3x3, two fully connected layers, ReLU, no normalisation: images [n, c, h, w] to logits."""

    def __init__(self, channels: int, height: int, width: int, classes: int):
        super().__init__()
        one, two, three, four = WIDTHS
        self.conv1 = torch.nn.Conv2d(channels, one, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(one, two, 3, padding=1)
        self.conv3 = torch.nn.Conv2d(two, three, 3, padding=1)
        self.fc1 = torch.nn.Linear(three * (height // 4) * (width // 4), four)
        self.fc2 = torch.nn.Linear(four, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits [n, classes]."""
        inner = max_pool2d(relu(self.conv2(relu(self.conv1(images)))), 2)
        inner = max_pool2d(relu(self.conv3(inner)), 2)
        return self.fc2(relu(self.fc1(inner.flatten(1))))


class _ResNet18(torch.nn.Module):
    def __init__(self, channels: int, classes: int):
        from transformers import ResNetConfig, ResNetForImageClassification

        super().__init__()
        self.net = ResNetForImageClassification(
            ResNetConfig(
                num_channels=channels, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic",
                num_labels=classes,
            )
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images).logits


NETWORKS = ("small", "resnet18")


def new(name: str, pictures: Pictures, seed: int) -> torch.nn.Module:
    """Return a network of this name for these images, with weights drawn by `seed`; UserError for another name and for
    images too small for it."""
    _, channels, height, width = pictures.images.shape
    if name not in NETWORKS:
        raise UserError(f"no network {name!r}: {nearest(name, NETWORKS)}")
    if min(height, width) < 4:
        raise UserError(f"images of {height}x{width}: the networks halve them twice, give 4x4 at least")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        if name == "small":
            return Small(channels, height, width, pictures.classes)
        return _ResNet18(channels, pictures.classes)


def layers(net: torch.nn.Module) -> list[str]:
    """Return the names of the layers that own parameters, from the input up."""
    return [name for name, module in net.named_modules() if next(module.parameters(recurse=False), None) is not None]


def resolve(net: torch.nn.Module, names: str) -> list[str]:
    """Return the parameters that `names` means: a layer, several joined by `+`, or `all`; UserError for another."""
    if names == "all":
        return [name for name, _ in net.named_parameters()]
    known = layers(net)
    for name in names.split("+"):
        if name not in known:
            raise UserError(f"no layer {name!r} in this network: {nearest(name, ['all', *known])}")
    chosen = set(names.split("+"))
    return [name for name, _ in net.named_parameters() if name.rpartition(".")[0] in chosen]


def weighted(net: torch.nn.Module) -> list[str]:
    """Return the names of the convolutions and fully connected layers, from the input up: no normalisations."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear)
    return [name for name, module in net.named_modules() if isinstance(module, kinds)]


def convolutions(net: torch.nn.Module) -> list[str]:
    """Return the names of the convolutions, from the input up."""
    return [name for name, module in net.named_modules() if isinstance(module, torch.nn.Conv2d)]


def last(net: torch.nn.Module) -> str:
    """Return the name of the layer that gives the logits: the last that is fully connected."""
    return [name for name, module in net.named_modules() if isinstance(module, torch.nn.Linear)][-1]
