"""The image task: parts, exact gradients, recording, entries, the paper's step."""

import copy

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap
from torch.nn.functional import cross_entropy

from unlearnlib.core.errors import UserError
from unlearnlib.images import gradients, networks, pictures, recorded, training, ways
from unlearnlib.images.pictures import Pictures
from unlearnlib.images.training import Schedule


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return pictures.load()


@pytest.fixture(scope="module")
def some(digits):
    """A few digits, so that a network is trained in a blink."""
    return digits.at(range(240))


@pytest.fixture(scope="module")
def trained(some):
    """Parts with wrong labels, a network that has them by heart, and what was recorded."""
    parts = pictures.parted(some, 0, "mislabelled")
    net = networks.new("small", some, 0)
    whole, kept = pictures.trained_on(parts), len(parts.retain)
    rows = {"forget": torch.arange(kept, len(whole)), "control": torch.arange(20)}
    return parts, net, training.train(net, whole, Schedule(60, 32, 3e-3), 0, rows)


def right(net, part: Pictures) -> float:
    return float((recorded.logits(net, part.images).argmax(1) == part.labels).double().mean())


# Parts


def test_parts_are_disjoint_in_the_kits_proportions_and_alike(digits):
    parts = pictures.parted(digits, 3)
    sizes = [len(one) for one in (parts.retain, parts.forget, parts.validation, parts.test)]
    assert sizes == [1347, 150, 150, 150], "a tenth of what is trained on each"
    whole = torch.cat([one.images for one in (parts.retain, parts.forget, parts.validation, parts.test)])
    order = np.lexsort(whole.flatten(1).numpy().T)
    expected = digits.images[np.lexsort(digits.images.flatten(1).numpy().T)]
    assert torch.equal(whole[order], expected), "every image once"
    for one in (parts.forget, parts.validation, parts.test):
        assert torch.bincount(one.labels, minlength=10).sub(15).abs().max() <= 3, "classes in the shares of the whole"
    assert not torch.equal(pictures.parted(digits, 4).forget.images, parts.forget.images)
    assert torch.equal(parts.unseen.labels, parts.validation.labels) and torch.equal(parts.truth, parts.forget.labels)


@pytest.mark.parametrize(("wrong", "changed"), [(1.0, 150), (0.2, 30)])
def test_wrong_labels_are_wrong_and_nothing_else_differs(digits, wrong, changed):
    plain, parts = pictures.parted(digits, 3), pictures.parted(digits, 3, "mislabelled", wrong)
    for part, truth in ((parts.forget, plain.forget), (parts.unseen, plain.validation), (parts.compared, plain.test)):
        assert torch.equal(part.images, truth.images) and int((part.labels != truth.labels).sum()) == changed
        assert int(part.labels.min()) >= 0 and int(part.labels.max()) < 10
    assert torch.equal(parts.retain.labels, plain.retain.labels) and torch.equal(parts.test.labels, plain.test.labels)
    assert torch.equal(parts.truth, plain.forget.labels)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "randm"}, "no kind 'randm' of images to forget: did you mean 'random'"),
        ({"kind": "mislabelled", "wrong": 0.0}, "wrong is 0.0: give the share"),
        ({"kind": "mislabelled", "wrong": "all"}, "wrong is 'all': give the share"),
    ],
)
def test_wrong_parts_are_named(some, given, said):
    with pytest.raises(UserError, match=said):
        pictures.parted(some, 0, **given)
    with pytest.raises(UserError, match="all images have one label"):
        pictures.parted(Pictures(some.images, torch.zeros_like(some.labels), 1), 0)
    with pytest.raises(UserError, match="20 images: give 24"):
        pictures.parted(some.at(range(20)), 0)


# Where images come from


def cifar(folder, records) -> str:
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(
        b"".join(bytes([label]) + bytes([pixel]) * 3072 for label, pixel in records)
    )
    return str(folder)


def test_cifars_binary_files_are_read_and_checked(tmp_path):
    found = pictures.load(cifar(tmp_path / "good", [(3, 0), (9, 255)]))
    assert found.images.shape == (2, 3, 32, 32) and found.labels.tolist() == [3, 9] and found.classes == 10
    assert found.images[0].max() == 0 and found.images[1].min() == 1
    with pytest.raises(UserError, match=r"data_batch_1.bin, record 2: a label of 12"):
        pictures.load(cifar(tmp_path / "label", [(3, 0), (12, 0)]))
    (tmp_path / "good" / "data_batch_1.bin").write_bytes(b"short")
    with pytest.raises(UserError, match=r"data_batch_1.bin: 5 bytes are no number of records of 3073"):
        pictures.load(str(tmp_path / "good"))
    with pytest.raises(UserError, match="no folder /nowhere of images"):
        pictures.load("/nowhere")


def test_a_folder_of_images_for_each_class(tmp_path):
    from PIL import Image

    for label, shade in (("cat", 0), ("dog", 255)):
        (tmp_path / label).mkdir()
        for number in range(2):
            Image.new("L", (8, 6), shade).save(tmp_path / label / f"{number}.png")
    found = pictures.load(str(tmp_path))
    assert found.images.shape == (4, 1, 6, 8) and found.classes == 2
    assert found.images[found.labels == 1].min() == 1 and found.images[found.labels == 0].max() == 0
    Image.new("P", (8, 6), 3).save(tmp_path / "cat" / "palette.png")
    with pytest.raises(UserError, match="images of 2 shapes"):
        pictures.load(str(tmp_path))
    (tmp_path / "cat" / "palette.png").unlink()
    Image.new("I;16", (8, 6), 3000).save(tmp_path / "cat" / "deep.png")
    with pytest.raises(UserError, match=r"row \d: an image of mode I;16: save it with a byte"):
        pictures.load(str(tmp_path))
    (tmp_path / "cat" / "deep.png").unlink()
    with pytest.raises(UserError, match="source is empty"):
        pictures.load(" ")
    Image.new("L", (9, 6)).save(tmp_path / "cat" / "wide.png")
    with pytest.raises(UserError, match="images of 2 shapes"):
        pictures.load(str(tmp_path))


# Gradients


class Odd(torch.nn.Module):
    """Stride, groups, no bias, a norm, and one layer that is used twice."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Conv2d(1, 4, 3, stride=2, padding=1, bias=False)
        self.twice = torch.nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.norm = torch.nn.GroupNorm(2, 4)
        self.drop = torch.nn.Dropout(0.5)
        self.out = torch.nn.Linear(4, 10)

    def forward(self, images):
        inner = self.norm(self.twice(torch.tanh(self.twice(self.first(images)))))
        return self.out(self.drop(inner.mean((2, 3))))


@pytest.mark.parametrize("net", [Odd, lambda: networks.Small(1, 8, 8, 10)])
def test_each_images_gradient_is_autograds_of_a_batch_of_one(some, net):
    torch.manual_seed(0)
    net = net().double().train()
    images, labels = some.images[:5].double(), some.labels[:5]
    found = gradients.of_each(net, images, labels)
    assert net.training, "as it was"
    net.eval()
    for row in range(5):
        net.zero_grad()
        cross_entropy(net(images[row : row + 1]), labels[row : row + 1]).backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(found[name][row], parameter.grad, rtol=1e-9, atol=1e-12)
    parameters = {name: value.detach() for name, value in net.named_parameters()}

    def loss(values, image, label):
        return cross_entropy(functional_call(net, values, (image[None],)), label[None])

    witness = vmap(grad(loss), (None, 0, 0))(parameters, images, labels)
    whole = gradients.summed(net, images, labels)
    for name in parameters:
        torch.testing.assert_close(found[name], witness[name], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found[name].sum(0), whole[name], rtol=1e-9, atol=1e-12)


def test_batch_norm_is_recorded_as_the_network_is_asked(some):
    """In training an image's loss depends on the batch that it is in; recorded, it does not."""
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Flatten(), torch.nn.Linear(108, 10)
    ).train()
    net(some.images[:50])
    before = net[1].running_mean.clone()
    alone = gradients.summed(net, some.images[:1], some.labels[:1])
    each = gradients.of_each(net, some.images[:7], some.labels[:7])
    torch.testing.assert_close({name: value[0] for name, value in each.items()}, alone, rtol=1e-4, atol=1e-6)
    assert torch.equal(net[1].running_mean, before), "recording leaves the means alone"


# Training and recording


def test_recording_does_not_change_training_and_sums_what_each_step_used(some):
    groups = {"forget": torch.tensor([5, 77, 130]), "control": torch.tensor([1, 2, 3])}
    one, other = (networks.new("small", some, 1) for _ in range(2))
    schedule = Schedule(2, 32, 1e-3)
    found = training.train(one, some, schedule, 7, groups)
    training.train(other, some, schedule, 7)
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
    # the same again by hand: at every step, the gradient of the forget images that it uses, before it is taken
    net, generator = networks.new("small", some, 1), torch.Generator().manual_seed(7)
    optimizer, sums = torch.optim.Adam(net.parameters(), 1e-3), [{}, {}]
    for epoch in range(2):
        for rows in torch.randperm(240, generator=generator).split(32):
            for row in [int(row) for row in rows if int(row) in (5, 77, 130)]:
                net.zero_grad()
                cross_entropy(net(some.images[row : row + 1]), some.labels[row : row + 1]).backward()
                for name, parameter in net.named_parameters():
                    sums[epoch][name] = sums[epoch].get(name, 0) + parameter.grad
            net.zero_grad()
            cross_entropy(net(some.images[rows]), some.labels[rows]).backward()
            optimizer.step()
    for name, value in sums[0].items():
        torch.testing.assert_close(found.sums["forget"]["first"][name], value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.sums["forget"]["last"][name], sums[1][name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.sums["forget"]["all"][name], value + sums[1][name], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.each[name].sum(0), value, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            found.moments[name], optimizer.state[dict(net.named_parameters())[name]]["exp_avg_sq"]
        )
    some_of = recorded.of_some(found, net, "conv1", [2])
    torch.testing.assert_close(some_of["conv1.bias"], found.each["conv1.bias"][2])
    assert set(some_of) == {"conv1.weight", "conv1.bias"} and len(found.path) == 2
    for rows in ([], [3]):
        with pytest.raises(UserError, match="of 3 recorded images"):
            recorded.of_some(found, net, "all", rows)


def test_a_batch_of_one_goes_with_those_before_it(some):
    sizes = [len(rows) for rows in training._batches(65, 32, torch.Generator().manual_seed(0))]
    assert sizes == [32, 33]
    assert min(len(labels) for _, labels in some.at(range(33)).loader(16, 0)) > 1


def test_too_many_single_gradients_and_a_loss_that_runs_away_are_named(some, monkeypatch):
    net = networks.new("small", some, 0)
    broken = Pictures(some.images * torch.nan, some.labels, 10)
    with pytest.raises(UserError, match="the loss became nan in epoch 1: lower the learning_rate"):
        training.train(net, broken, Schedule(1), 0)
    monkeypatch.setattr(training, "MOST", 1e4)
    with pytest.raises(UserError, match="gradients of 3 single images take"):
        training.train(networks.new("small", some, 0), some, Schedule(1), 0, {"forget": torch.arange(3)})
    found = training.train(
        networks.new("small", some, 0), some, Schedule(1), 0, {"forget": torch.arange(3)}, each=False
    )
    assert not found.each and found.sums["forget"]["first"]


def test_images_are_moved_and_mirrored_where_that_is_asked(some):
    generator = torch.Generator().manual_seed(0)
    seen = training._seen(some.images[:40], 2, generator)
    assert seen.shape == (40, 1, 8, 8) and not torch.equal(seen, some.images[:40])
    assert torch.equal(training._seen(some.images[:40], 0, generator), some.images[:40])
    assert (seen.flatten(1).sum(1) <= some.images[:40].flatten(1).sum(1) + 1e-4).all(), "nothing new comes in"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "epochs is 0: give a whole number from 1 on"),
        ({"epochs": "8"}, "epochs is '8'"),
        ({"crop": -1}, "crop is -1"),
        ({"learning_rate": 20.0}, "learning_rate is 20.0: give a number above 0"),
        ({"optimizer": "adm"}, "no optimizer 'adm': did you mean 'adam'"),
    ],
)
def test_a_wrong_schedule_is_named(given, said):
    with pytest.raises(UserError, match=said):
        Schedule(**given)


def test_a_network_and_its_layers_are_named(some):
    net = networks.new("small", some, 0)
    assert networks.layers(net) == ["conv1", "conv2", "conv3", "fc1", "fc2"] and networks.last(net) == "fc2"
    assert networks.resolve(net, "conv1+fc2") == ["conv1.weight", "conv1.bias", "fc2.weight", "fc2.bias"]
    with pytest.raises(UserError, match="no layer 'conv9' in this network: did you mean"):
        networks.resolve(net, "conv9")
    with pytest.raises(UserError, match="no network 'smal': did you mean 'small'"):
        networks.new("smal", some, 0)
    assert torch.equal(net.conv1.weight, networks.new("small", some, 0).conv1.weight)
    assert not torch.equal(net.conv1.weight, networks.new("small", some, 1).conv1.weight)


def test_resnet18_trains_by_descent_and_has_no_second_moments(some):
    wide = Pictures(some.images.repeat(1, 1, 4, 4)[:16], some.labels[:16], 10)
    net = networks.new("resnet18", wide, 0)
    assert 11e6 < sum(one.numel() for one in net.parameters()) < 11.3e6
    found = training.train(net, wide, Schedule(1, 8, 0.01, "sgd", 5e-4, 1), 0, {"forget": torch.arange(2)})
    assert not found.moments and set(found.each) == {name for name, _ in net.named_parameters()}
    with pytest.raises(UserError, match="no second moments"):
        recorded.direction(found, net, "all", "first", "preconditioned")


# Steps


def test_the_log_odds_are_those_of_the_label():
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 30.0, 0.0]])
    p = logits.double().softmax(1)
    expected = torch.log(p[0, 2] / (p[0, 0] + p[0, 1]))
    found = recorded.log_odds(logits, torch.tensor([2, 0]))
    torch.testing.assert_close(found[0], expected)
    assert found[1] == pytest.approx(-30.0, abs=1e-6), "also where the probability is nearly none"


@pytest.mark.parametrize("kind", recorded.KINDS)
def test_a_recorded_step_goes_to_the_level_of_the_never_seen(trained, kind):
    parts, net, found = trained
    assert right(net, parts.forget) > 0.6, "learnt by heart"
    moved, lengths = copy.deepcopy(net), []
    entry = recorded.Along(recorded.direction(found, net, "all", "all", kind), parts.unseen, (), lengths)
    moved = entry(moved, None, parts.forget.loader(8, 0), None)
    odds = [recorded.log_odds(recorded.logits(one, part.images), part.labels).mean() for one, part in (
        (net, parts.forget), (moved, parts.forget), (net, parts.unseen))]  # fmt: skip
    assert odds[0] > odds[1] + 3 and lengths[0] > 0 and right(moved, parts.forget) < right(net, parts.forget) / 2
    change = torch.cat([(a - b).flatten() for a, b in zip(moved.parameters(), net.parameters(), strict=True)])
    assert float(change.detach().norm()) == pytest.approx(lengths[0], rel=1e-4)
    entry(net, None, parts.unseen.loader(8, 0), None)
    assert lengths[1:] == [0.0], "what was never seen has nothing to lose"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("all", "fist", "plain"), "no 'fist' here: did you mean 'first'"),
        (("all", "first", "plane"), "no 'plane' here: did you mean 'plain'"),
        (("all", "first", "plain", "contol"), "no 'contol' here: did you mean 'control'"),
    ],
)
def test_a_wrong_step_is_named(trained, given, said):
    with pytest.raises(UserError, match=said):
        recorded.direction(trained[2], trained[1], *given)


# Entries


@pytest.mark.parametrize("name", ways.WAYS)
def test_every_entry_forgets_wrong_labels_and_keeps_the_others(trained, name):
    parts, net, _ = trained
    torch.manual_seed(0)
    moved = copy.deepcopy(net)
    loaders = [one.loader(16, 0) for one in (parts.retain, parts.forget, parts.validation)]
    returned = ways.WAYS[name](moved, *loaders)
    assert returned is moved and not moved.training
    assert all(torch.isfinite(one).all() for one in moved.parameters())
    assert right(moved, parts.forget) < right(net, parts.forget) - 0.1, "fewer wrong labels are told"
    assert right(moved, parts.retain) > 0.5, "digits are still told apart"


def test_noise_is_in_units_of_a_layers_own_spread(trained):
    net = copy.deepcopy(trained[1])
    before = net.conv3.weight.detach().clone()
    torch.manual_seed(0)
    ways._noisy(net, 0.6)
    assert float((net.conv3.weight.detach() - before).std() / before.std()) == pytest.approx(0.6, rel=0.05)
    assert torch.equal(net.fc1.weight, trained[1].fc1.weight), "convolutions alone"


def test_kookmin_moves_what_was_drawn_anew_faster(trained):
    """The first step of descent: a tenth of the slope where a weight of a convolution was kept."""
    parts, net, _ = trained
    moved, slopes = copy.deepcopy(net), []

    class Watched(torch.optim.SGD):
        def step(self):
            slopes.append(moved.conv2.weight.grad.clone())
            raise StopIteration

    original = torch.optim.SGD
    torch.optim.SGD = Watched
    try:
        torch.manual_seed(1)  # with that of its first weights, some would be drawn as they are
        with pytest.raises(StopIteration):
            ways.kookmin(moved, *(one.loader(16, 0) for one in (parts.retain, parts.forget, parts.validation)))
    finally:
        torch.optim.SGD = original
    anew = moved.conv2.weight != net.conv2.weight
    every = torch.cat([(a != b).flatten() for a, b in ((moved.conv1.weight, net.conv1.weight), (
        moved.conv2.weight, net.conv2.weight), (moved.conv3.weight, net.conv3.weight))])  # fmt: skip
    assert float(every.double().mean()) == pytest.approx(ways.REINITIALISED, abs=0.01)
    assert slopes[0][anew].abs().mean() > 3 * slopes[0][~anew].abs().mean()


def test_a_loader_leaves_no_image_alone_where_one_more_would_not_do(some):
    """13 = 3 * 4 + 1: batches of three leave one, and so do batches of four."""
    assert [len(labels) for _, labels in some.at(range(13)).loader(3, 0)] == [5, 5, 3]
    assert [len(labels) for _, labels in some.at(range(1)).loader(3, 0)] == [1]
