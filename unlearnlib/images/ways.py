"""Ways to unlearn images, each an entry of the challenge: unlearning(net, retain, forget, validation) -> net.

The starting kit's fine-tuning, two baselines, and ideas of six winning teams in a few lines each, as the challenge's
own account has them in a sentence or two (Triantafillou et al. 2024, arXiv 2406.09073; what we know of the winners is
that account's summary, not their code): learning rates, epochs and everything else that it does not give are ours, and
set for small networks. Each changes the network that it is given, and returns it; what is drawn at random comes from
torch's global generator, which the caller seeds.
"""

import copy
from collections.abc import Callable, Iterable

import torch
from torch.nn.functional import cross_entropy, kl_div, log_softmax, mse_loss, softmax

from unlearnlib.images.networks import convolutions, last, weighted

Loader = torch.utils.data.DataLoader
Unlearning = Callable[[torch.nn.Module, Loader, Loader, Loader], torch.nn.Module]

RATE = 1e-3  # of Adam, in every way that trains: half of that of the networks' own training
REINITIALISED = 0.3  # the share of the convolutions' weights that Kookmin draws anew
NOISE = 0.6  # the standard deviation of Seif's noise, in units of that of the layer's weights


def fine_tuned(net, retain: Loader, forget: Loader, validation: Loader):
    """The starting kit's example: five epochs on the retained images (there by SGD at a rate of 0.1)."""
    return _trained(net, 5, lambda: _of(net, retain))


def gradient_difference(net, retain: Loader, forget: Loader, validation: Loader):
    """Down the loss of the retained images, up that of those to forget, a fifth as much: two epochs (NegGrad+)."""

    def losses():
        for (images, labels), other in zip(retain, _endless(forget), strict=False):
            yield cross_entropy(net(images), labels) - 0.2 * cross_entropy(net(other[0]), other[1])

    return _trained(net, 2, losses)


def random_labels(net, retain: Loader, forget: Loader, validation: Loader):
    """Three epochs on the images to forget under labels drawn at random, and on the retained ones as they are."""

    def losses():
        for (images, labels), other in zip(retain, _endless(forget), strict=False):
            logits = net(other[0])
            drawn = torch.randint(logits.shape[1], (len(logits),))
            yield cross_entropy(net(images), labels) + cross_entropy(logits, drawn)

    return _trained(net, 3, losses)


def fanchuan(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Fanchuan: an epoch towards the uniform answer on the images to forget; then three rounds in which their
    outputs are to be as near to those of every retained image as to any other's (a contrastive loss of dot products at
    a temperature, without a pair of its own), each mended by an epoch on the retained images."""
    temperature = 1.15

    def uniform():
        for images, _ in forget:
            yield -log_softmax(net(images), 1).mean()

    def apart():
        for (images, _), (others, _) in zip(forget, retain, strict=False):
            with torch.no_grad():
                kept = net(others)
            yield -log_softmax(net(images) @ kept.T / temperature, 1).mean()

    _trained(net, 1, uniform)
    for _ in range(3):
        _trained(net, 1, apart, rate=RATE / 10)
        _trained(net, 1, lambda: _of(net, retain))
    return net


def kookmin(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Kookmin: draw anew the convolutions' weights in which gradient difference has the smallest slopes, then five
    epochs on the retained images in which the other weights of the convolutions move a tenth as fast."""
    (images, labels), (others, theirs) = next(iter(retain)), next(iter(forget))
    names = [f"{name}.weight" for name in convolutions(net)]
    weights = dict(net.named_parameters())
    loss = cross_entropy(net(images), labels) - cross_entropy(net(others), theirs)
    slopes = torch.autograd.grad(loss, [weights[name] for name in names])
    edge = torch.cat([slope.abs().flatten() for slope in slopes]).quantile(REINITIALISED)
    anew = {name: slope.abs() <= edge for name, slope in zip(names, slopes, strict=True)}
    fresh = dict(_drawn_anew(net, convolutions(net)).named_parameters())
    with torch.no_grad():
        for name, chosen in anew.items():
            weights[name][chosen] = fresh[name][chosen]

    def slowed() -> None:
        for name, chosen in anew.items():
            weights[name].grad *= torch.where(chosen, 1.0, 0.1)

    return _trained(net, 5, lambda: _of(net, retain), sgd=True, before_step=slowed)


def seif(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Seif: noise on the convolutions' weights, then four epochs on the retained images, with a little noise
    before the last. (Their smaller weight of rare classes has no meaning where classes are equally many.)"""
    _noisy(net, NOISE)
    _trained(net, 3, lambda: _of(net, retain))
    _noisy(net, NOISE / 120)
    return _trained(net, 1, lambda: _of(net, retain))


def amnesiacs(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Amnesiacs: draw the first convolution and the last layer anew; three epochs towards the old answers on
    validation images, then three on the retained ones with the old answers beside their labels."""
    old = copy.deepcopy(net).eval()
    _replace(net, [convolutions(net)[0], last(net)])

    def as_before():
        for images, _ in validation:
            yield _divergence(net(images), old(images).detach())

    def both():
        for images, labels in retain:
            mine, theirs = net(images), old(images).detach()
            yield cross_entropy(mine, labels) + _divergence(mine, theirs) + _divergence(theirs, mine)

    _trained(net, 3, as_before)
    return _trained(net, 3, both)


def team_sun(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Sun: draw the last layer anew; four epochs in which a layer drawn at random gets noise and is trained alone
    on the retained images; then two with all layers."""
    _replace(net, [last(net)])
    for _ in range(4):
        name = weighted(net)[int(torch.randint(len(weighted(net)), (1,)))]
        module = net.get_submodule(name)
        _noisy(net, NOISE / 6, [name])
        _trained(net, 1, lambda: _of(net, retain), parameters=module.parameters())
    return _trained(net, 2, lambda: _of(net, retain))


def team_forget(net, retain: Loader, forget: Loader, validation: Loader):
    """Team Forget: three rounds of drawing a layer, chosen at random, anew, and three epochs, at three times the usual
    rate, towards the old outputs on the retained images, on which there is some noise. (With one epoch a round, as in
    the account, these small networks end at chance.)"""
    old = copy.deepcopy(net).eval()

    def as_before():
        for images, _ in retain:
            noisy = images + 0.05 * torch.randn_like(images)
            yield mse_loss(net(noisy), old(images).detach())

    for _ in range(3):
        name = weighted(net)[int(torch.randint(len(weighted(net)), (1,)))]
        _replace(net, [name])
        _trained(net, 3, as_before, rate=3 * RATE)
    return net


WAYS: dict[str, Unlearning] = {
    "fine-tuning": fine_tuned,
    "gradient difference": gradient_difference,
    "random labels": random_labels,
    "Fanchuan": fanchuan,
    "Kookmin": kookmin,
    "Seif": seif,
    "Amnesiacs": amnesiacs,
    "Sun": team_sun,
    "Forget": team_forget,
}


def _of(net, loader: Loader):
    for images, labels in loader:
        yield cross_entropy(net(images), labels)


def _endless(loader: Loader):
    while True:
        yield from loader


def _trained(net, epochs: int, losses: Callable, rate: float = RATE, sgd: bool = False, parameters=None,
             before_step: Callable[[], None] | None = None):  # fmt: skip
    """Take a step of Adam (with `sgd`, which keeps the ratio of two slopes, of descent with momentum) down each of the
    losses that `losses()` yields, so many times over."""
    moved = list(net.parameters() if parameters is None else parameters)
    optimizer = torch.optim.SGD(moved, 20 * rate, momentum=0.9) if sgd else torch.optim.Adam(moved, rate)
    net.train()
    for _ in range(epochs):
        for loss in losses():
            net.zero_grad()
            loss.backward()
            if before_step is not None:
                before_step()
            optimizer.step()
    return net.eval()


def _divergence(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """Return KL(theirs || ours) in nats an image, of logits."""
    return kl_div(log_softmax(ours, 1), softmax(theirs, 1), reduction="batchmean")


def _drawn_anew(net, names: Iterable[str]):
    """Return a copy of a network in which the named layers have new weights."""
    fresh = copy.deepcopy(net)
    for name in names:
        fresh.get_submodule(name).reset_parameters()
    return fresh


def _replace(net, names: Iterable[str]) -> None:
    net.load_state_dict(_drawn_anew(net, names).state_dict())


def _noisy(net, scale: float, names: Iterable[str] | None = None) -> None:
    """Add Gaussian noise to weights of layers (default: the convolutions), `scale` times their own spread."""
    with torch.no_grad():
        for name in convolutions(net) if names is None else names:
            weight = net.get_submodule(name).weight
            weight += scale * weight.std() * torch.randn_like(weight)
