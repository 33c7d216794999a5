"""Methods that learn from a teacher: where they have nothing to learn, what they learn, against naive sums."""

import pytest
import torch
from unlearning import FORGET, captured, gradient, kl, log_p, loss_of, of_next, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.methods import bad_teacher, harry_potter
from unlearnlib.methods.losses import divergence
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.trained import Steps, further_trained

SHORT = {"reinforce_steps": 3, "reinforce_rate": 3e-3}


def mean_kl(one, two, texts):
    return sum(kl(log_p(one, ids), log_p(two, ids)) for ids in texts) / len(texts)


class Says(torch.nn.Module):
    """A model that says what it is told to say."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.nn.Parameter(logits.clone())

    def forward(self, tokens):
        return self


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("generic predictions", {"alpha": 0.0, **SHORT}),
        ("reverse KL", {"alpha": 0.0, **SHORT}),
        ("UNDIAL", {"beta": 0.0}),
    ],
)
def test_where_the_target_is_the_model_to_start_from_nothing_is_to_be_learnt(asked, batch, name, options):
    value = loss_of(name, asked, **options)(asked.start, *batch)
    assert abs(value.item()) < 1e-12 and gradient(value, asked.start).abs().max() < 1e-10


# Generic predictions and the reverse divergence


@pytest.fixture(scope="module")
def reinforced(asked):
    return harry_potter.reinforced_model(asked, Steps(3, 3, 8, 3e-3)).value


@pytest.mark.parametrize("name", ["generic predictions", "reverse KL"])
def test_the_teacher_takes_down_what_further_training_raises(asked, other, batch, reinforced, name):
    loss, alpha, expected = loss_of(name, asked, alpha=2.0, **SHORT), 2.0, 0.0
    for ids in batch[0]:
        tokens = torch.tensor([list(ids)])
        usual, more = (
            logits - logits.mean(-1, keepdim=True)
            for model in (asked.start, reinforced)
            for logits in [model(tokens).logits[0, :-1]]
        )
        teacher = (usual - alpha * (more - usual).clamp(min=0)).log_softmax(-1)
        pair = (teacher, log_p(other, ids)) if name == "generic predictions" else (log_p(other, ids), teacher)
        expected += kl(*pair) / len(batch[0])
    assert torch.allclose(loss(other, *batch), expected)
    losses = [-sum(of_next(model, ids).mean() for ids in batch[0]).item() for model in (reinforced, asked.start)]
    assert losses[0] < losses[1], "the reinforced model knows the texts better"


def test_generic_logits_do_not_depend_on_a_constant_and_change_nothing_without_a_difference():
    usual, more = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)).double().unbind(0)
    found = harry_potter.generic_logits(usual, more, 3.0)
    assert torch.allclose(found, harry_potter.generic_logits(usual + 5.0, more - 2.0, 3.0))
    assert torch.allclose(harry_potter.generic_logits(usual, usual, 3.0).softmax(-1), usual.softmax(-1))
    assert (found <= usual - usual.mean(-1, keepdim=True) + 1e-12).all()


def test_the_reverse_divergence_has_a_gradient_through_both_logarithms_of_the_student():
    """d/dz KL(p || q) = p (log p - log q - KL), which a target without gradient would not give."""
    student, teacher = torch.randn(2, 1, 1, 6, generator=torch.Generator().manual_seed(1)).double().unbind(0)
    student.requires_grad_()
    divergence(student, teacher, torch.ones(1, 1).double()).backward()
    log_p_, log_q = (logits.detach().log_softmax(-1) for logits in (student, teacher))
    value = (log_p_.exp() * (log_p_ - log_q)).sum()
    assert torch.allclose(student.grad, log_p_.exp() * (log_p_ - log_q - value))


# UNDIAL


@pytest.mark.parametrize("beta", [3.0, 10.0])
def test_undial_comes_to_rest_where_the_true_token_is_beta_lower(asked, batch, beta):
    loss, texts = loss_of("UNDIAL", asked, beta=beta), [list(batch[0][1])]
    usual = asked.start(torch.tensor(texts)).logits.detach()
    lower = usual.clone()
    for place, token in enumerate(texts[0][1:]):
        lower[0, place, token] -= beta
    rest = Says(lower)
    value = loss(rest, texts, None)
    assert abs(value.item()) < 1e-12 and gradient(value, rest).abs().max() < 1e-12
    before, after = (
        logits[0, :-1].softmax(-1).gather(1, torch.tensor(texts[0])[1:, None]) for logits in (usual, rest.logits)
    )
    formula = before / (before + (1 - before) * torch.tensor(beta).double().exp())
    assert torch.allclose(after, formula)
    elsewhere = loss(asked.start, texts, None)
    target = lower[0, :-1].log_softmax(-1)
    assert torch.allclose(elsewhere, kl(target, log_p(asked.start, texts[0]))) and elsewhere.item() > 1e-3


# Bad teaching


@pytest.mark.parametrize("name", ["bad teacher", "base teacher"])
def test_bad_teaching_is_a_divergence_from_each_teacher(asked, other, batch, name):
    teacher = asked.base if name == "base teacher" else bad_teacher.untrained(asked.start, asked.seed)
    expected = mean_kl(teacher, other, batch[0]) + 2.0 * mean_kl(asked.start, other, batch[1])
    assert torch.allclose(loss_of(name, asked, retain_weight=2.0)(other, *batch), expected)


def test_a_teacher_like_the_start_teaches_nothing(asked, batch, monkeypatch):
    monkeypatch.setattr(bad_teacher, "untrained", lambda model, seed: model)
    value = loss_of("bad teacher", asked)(asked.start, *batch)
    assert abs(value.item()) < 1e-12 and gradient(value, asked.start).abs().max() < 1e-10


def test_an_untrained_model_is_drawn_by_its_seed_and_leaves_the_global_numbers_alone(asked, batch):
    before = torch.random.get_rng_state()
    one, same, another = (bad_teacher.untrained(asked.start, seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    ids = batch[0][0]
    assert torch.equal(log_p(one, ids), log_p(same, ids)) and not torch.equal(log_p(one, ids), log_p(another, ids))
    assert log_p(one, ids).exp().max() < 0.1, "all tokens are about as likely"


# SCRUB


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_scrub_takes_turns(asked, other, batch, temperature):
    options = {"alpha": 0.3, "gamma": 0.7, "temperature": temperature, "max_steps": 2, "min_steps": 2, "every": 3}
    with captured("SCRUB") as found:
        METHODS["SCRUB"].path(asked, **options)
    _, loss, _, _, first, _ = found[0]

    def distance(texts):
        pairs = ((log_p(asked.start, ids, temperature), log_p(other, ids, temperature)) for ids in texts)
        return temperature**2 * sum(kl(*pair) for pair in pairs) / len(texts)

    away = -distance(batch[0])
    towards = 0.3 * distance(batch[1]) - 0.7 * sum(of_next(other, ids).mean() for ids in batch[1]) / len(batch[1])
    for again in range(2):
        first()
        for step in range(9):
            expected = away if step in (0, 3) else towards
            assert torch.allclose(loss(other, *batch), expected), (again, step)


def test_scrub_has_no_slope_at_the_start_and_without_turns_is_training_on_the_retained(asked, other, batch):
    value = loss_of("SCRUB", asked)(asked.start, *batch)
    assert abs(value.item()) < 1e-12 and gradient(value, asked.start).abs().max() < 1e-10
    plain = loss_of("SCRUB", asked, max_steps=0, alpha=0.0, every=3)
    assert torch.equal(plain(other, *batch), loss_of("retained only", asked)(other, *batch))


# All


@pytest.mark.parametrize("name", ["generic predictions", "reverse KL", "UNDIAL", "bad teacher", "base teacher"])
def test_the_first_steps_make_the_forget_set_less_likely(recorded, make_model, sequences, tmp_path, name):
    """From a model that knows the texts: what knows them less has something to teach."""
    request = request_of(recorded.start, sequences, tmp_path, base=make_model())
    options = {"batch_size": 3, **(SHORT if name in ("generic predictions", "reverse KL") else {})}
    path = METHODS[name].path(request, steps=4, every=4, learning_rate=1e-3, **options)
    losses = []
    for effort in path.stops:
        with path.at(effort) as model, torch.no_grad():
            losses.append(-sum(of_next(model, sequences[one]).mean().item() for one in FORGET))
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("name", "options", "line"),
    [
        ("generic predictions", {"alpha": -1.0}, r"alpha -1\.0 makes no sense here"),
        ("reverse KL", {"alpha": -1.0}, r"alpha -1\.0 makes no sense here"),
        ("reverse KL", {"reinforce_steps": 0}, "steps 0 leads nowhere"),
        ("UNDIAL", {"beta": -3.0}, r"beta -3\.0 makes no sense here"),
        ("bad teacher", {"retain_weight": -1.0}, r"retain_weight -1\.0 makes no sense here"),
        ("SCRUB", {"every": 3}, "a stop after every 3 steps parts a turn of 4: let `every` be a multiple of 4"),
        ("SCRUB", {"temperature": 0.0}, r"temperature 0\.0 makes no sense here"),
        ("SCRUB", {"min_steps": 0}, "min_steps 0 makes no sense here: give a whole number from 1 on"),
    ],
)
def test_a_slip_in_a_hyperparameter_is_one_line(asked, name, options, line):
    with pytest.raises(UserError, match=line):
        loss_of(name, asked, **options)


def test_a_further_training_that_goes_wrong_is_named_with_its_step(make_model, sequences):
    broken = make_model()
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    with pytest.raises(UserError, match="task vector: the loss became nan in step 1: lower its learning rate"):
        further_trained(broken, sequences, Steps(2, 2, 2), 0, "task vector")
    with pytest.raises(UserError, match="no texts to train on"):
        further_trained(broken, {}, Steps(2, 2, 2), 0, "task vector")
