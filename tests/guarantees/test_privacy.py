"""Differential privacy: its arithmetic, and where Opacus is installed, its training against one written out."""

import numpy as np
import pytest
import torch
from scipy.special import gammaln

from unlearnlib.core.errors import UserError
from unlearnlib.data import batches
from unlearnlib.guarantees import audit, privacy
from unlearnlib.guarantees.privacy import Spent, Training

needs_opacus = pytest.mark.skipif(not privacy.is_installed(), reason=privacy.EXTRA)


def test_a_group_is_one_record_after_the_other_by_the_definition():
    for epsilon, delta, size in ((0.1, 1e-5, 40), (0.5, 1e-5, 10), (1.0, 1e-6, 3), (0.3, 0.0, 5)):
        told, lost = 0.0, 0.0
        for _ in range(size):  # P(T) <= e^eps P'(T) + delta, put into itself
            told, lost = told + epsilon, lost * np.exp(epsilon) + delta
        assert privacy.group(epsilon, delta, size) == pytest.approx((told, lost))
    assert privacy.group(0.1, 1e-5, 40) == pytest.approx((4, 5e-3), rel=0.05)
    assert privacy.group(1.0, 1e-5, 20) == (np.inf, 1.0), "void: the promise for one text says nothing about forty"
    assert privacy.group(2.0, 1e-5, 1) == pytest.approx((2.0, 1e-5))


def test_without_the_package_one_line_says_what_installs_it(monkeypatch, make_model):
    monkeypatch.setattr(privacy, "is_installed", lambda: False)
    for call in (
        lambda: privacy.train(make_model(), {"a": [0, 1]}, Training(1.0)),
        lambda: privacy.epsilon(Spent(1.0, 0.1, 10), 1e-5),
        lambda: privacy.noise_for(1.0, 0.1, 10, 1e-5),
    ):
        with pytest.raises(UserError, match="needs the package opacus, which is not installed: pip install"):
            call()


def test_without_noise_nothing_is_promised_and_delta_0_is_refused():
    assert privacy.epsilon(Spent(0.0, 0.1, 10), 1e-5) == np.inf
    with pytest.raises(UserError, match="delta 0: give one above 0"):
        privacy.epsilon(Spent(1.0, 0.1, 10), 0)
    with pytest.raises(UserError, match="at least one record"):
        privacy.group(1.0, 1e-5, 0)


def renyi(spent, delta):
    """Epsilon by the formula for whole orders (Mironov et al. 2019, arXiv 1908.10530, as we read it), on its own."""
    best = np.inf
    for order in range(2, 200):
        k = np.arange(order + 1)
        binomial = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
        terms = binomial + k * np.log(spent.rate) + (order - k) * np.log1p(-spent.rate)
        total = spent.steps * np.logaddexp.reduce(terms + (k * k - k) / (2 * spent.noise**2)) / (order - 1)
        best = min(best, total + np.log((order - 1) / order) - (np.log(delta) + np.log(order)) / (order - 1))
    return best


@needs_opacus
@pytest.mark.parametrize(
    ("spent", "known"), [(Spent(1, 0.02, 300), 2.59), (Spent(2, 0.05, 200), 1.72), (Spent(4, 0.1, 100), 1.08)]
)
def test_the_accountant_gives_what_the_formula_gives(spent, known):
    found = privacy.epsilon(spent, 1e-5)
    assert found <= renyi(spent, 1e-5) * 1.001 and found == pytest.approx(known, rel=0.03)
    assert privacy.epsilon(
        Spent(privacy.noise_for(known, spent.rate, spent.steps, 1e-5), spent.rate, spent.steps), 1e-5
    ) == (pytest.approx(known, rel=0.02))


def single_gradients(model, sequences, layers):
    from unlearnlib.models.layers import resolve

    chosen, found = [dict(model.named_parameters())[name] for name in resolve(model, layers)], []
    for text in sequences.values():
        tokens, lengths = batches.pad([text])
        grads = torch.autograd.grad(batches.text_losses(model, tokens, lengths).sum(), chosen)
        found.append(torch.cat([grad.flatten() for grad in grads]))
    return torch.stack(found)


def flat(model, layers):
    from unlearnlib.models.layers import resolve

    return torch.cat(
        [dict(model.named_parameters())[name].detach().flatten().clone() for name in resolve(model, layers)]
    )


@needs_opacus
def test_a_step_without_noise_is_the_mean_of_the_clipped_gradients_of_single_texts(make_model, sequences, monkeypatch):
    """One batch of everything, plain steps of size 1 in place of Adam's: the change is minus the mean."""
    monkeypatch.setattr(torch.optim, "Adam", lambda values, lr: torch.optim.SGD(values, lr=lr))
    for clip in (1e6, 1.0, 0.1):
        model, before = make_model(), make_model()
        grads = single_gradients(before, sequences, "last_blocks")
        clipped = grads * (clip / grads.norm(dim=1, keepdim=True)).clamp(max=1)
        spent = privacy.train(model, sequences, Training(0.0, clip, batch=8, epochs=1, learning_rate=1.0))
        assert spent == Spent(0.0, 1.0, 1)
        change = flat(model, "last_blocks") - flat(before, "last_blocks")
        torch.testing.assert_close(change, -clipped.mean(0), atol=1e-5, rtol=1e-3)
        assert torch.equal(flat(model, "embedding"), flat(before, "embedding")), "frozen"
        assert all(value.requires_grad for value in model.parameters()) and not model.training


@needs_opacus
@pytest.mark.slow
def test_the_promise_holds_against_an_audit_and_not_without_the_clipping(make_model, sequences, monkeypatch):
    """One step over all texts, with and without one of them: the noise hides a clipped gradient, and not a whole
    one."""
    monkeypatch.setattr(torch.optim, "Adam", lambda values, lr: torch.optim.SGD(values, lr=lr))
    delta, noise, draws, layers = 1e-2, 2.0, 80, "ln_f"
    left = {name: text for name, text in sequences.items() if name != "text-0"}

    def small():
        return make_model(blocks=1, width=16)

    along = single_gradients(small(), {"text-0": sequences["text-0"]}, layers)[0]
    along = along / along.norm()

    def values(texts, clip, multiplier):
        found = []
        for seed in range(draws):
            model = small()
            how = Training(multiplier, clip, batch=8, epochs=1, learning_rate=1.0, layers=layers)
            privacy.train(model, texts, how, seed=seed + 1000 * (len(texts) == 8))
            # The sum of the batch: what is added to it is divided by as many texts as there are.
            found.append(float((flat(model, layers) - flat(small(), layers)) @ along) * len(texts))
        return found

    promised = privacy.epsilon(Spent(noise, 1.0, 1), delta)
    clip = 0.02
    shown = audit.audit(values(sequences, clip, noise), values(left, clip, noise), delta)
    assert shown.epsilon <= promised
    broken = audit.audit(values(sequences, 1e3, noise * clip / 1e3), values(left, 1e3, noise * clip / 1e3), delta)
    assert broken.epsilon > promised


@needs_opacus
@pytest.mark.parametrize(
    ("how", "texts", "says"),
    [
        (Training(1.0, layers="all"), True, "hold an embedding, which is frozen"),
        (Training(1.0, layers="embedding"), True, "hold an embedding, which is frozen"),
        (Training(-1.0), True, "noise -1.0"),
        (Training(1.0, clip=0), True, "clip 0"),
        (Training(1.0), False, "there are no texts"),
    ],
)
def test_a_slip_is_one_line(make_model, sequences, how, texts, says):
    with pytest.raises(UserError, match=says) as caught:
        privacy.train(make_model(), sequences if texts else {}, how)
    assert "\n" not in str(caught.value)


@needs_opacus
def test_an_empty_batch_is_a_step_and_equal_seeds_give_equal_models(make_model, sequences):
    few = {name: sequences[name] for name in ("text-0", "text-1")}
    models = [make_model(), make_model(), make_model()]
    spent = [
        privacy.train(model, few, Training(1.0, batch=1, epochs=4), seed)
        for model, seed in zip(models, (0, 0, 1), strict=True)
    ]
    assert spent[0] == Spent(1.0, 0.5, 8)
    assert torch.equal(flat(models[0], "last_blocks"), flat(models[1], "last_blocks"))
    assert not torch.equal(flat(models[0], "last_blocks"), flat(models[2], "last_blocks"))
