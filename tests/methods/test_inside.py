"""Representation misdirection, knowledge gap alignment, contrastive gradients: against naive sums."""

import pytest
import torch
from families import tiny
from unlearning import FORGET, captured, gradient, kl, log_p, loss_of, of_next, request_of

from unlearnlib.core.errors import UserError
from unlearnlib.gradients import algebra
from unlearnlib.methods import contrastive, misdirection
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.trained import Steps, further_trained

UNSEEN = {"a": (0, 5, 4, 3, 2), "b": (0, 9, 9, 11), "c": (0, 96, 1)}


# Representation misdirection


def of_block(model, ids, block):
    """What comes out of a block for one text: transformers' own list holds the embedding first."""
    return model(torch.tensor([list(ids)]), output_hidden_states=True).hidden_states[block + 1][0]


def test_misdirection_is_its_formula(asked, other, batch):
    loss = loss_of("misdirection", asked, block=1, steering=3.0, alpha=7.0)
    u = torch.rand(32, generator=torch.Generator().manual_seed(asked.seed)).double()
    lengths = [of_block(asked.start, ids, 1).norm(dim=-1).mean() for ids in batch[0]]
    wanted = 3.0 * sum(lengths) / len(lengths) * u / u.norm()
    away = sum((of_block(other, ids, 1) - wanted).square().mean() for ids in batch[0]) / len(batch[0])
    kept = sum((of_block(other, ids, 1) - of_block(asked.start, ids, 1)).square().mean() for ids in batch[1]) / 3
    assert torch.allclose(loss(other, *batch), (away + 7.0 * kept).detach(), rtol=1e-6)
    start = asked.start
    values = [loss_of("misdirection", asked, block=1, alpha=alpha)(start, *batch) for alpha in (0.0, 50.0)]
    assert torch.allclose(*values) and torch.allclose(*(gradient(value, start) for value in values), atol=1e-10)


@pytest.mark.parametrize(
    ("family", "last"),
    [
        ("gpt2", "mlp.c_proj"),
        ("llama untied", "mlp.down_proj"),
        ("qwen2", "mlp.down_proj"),
        ("gpt-neox", "mlp.dense_4h_to_h"),
        ("phi", "mlp.fc2"),
    ],
)
def test_only_the_last_matrices_of_the_feed_forward_parts_move(family, last, sequences, tmp_path):
    model = tiny(family)
    request = request_of(model, sequences, tmp_path)
    path = METHODS["misdirection"].path(request, block=1, steps=2, every=2, batch_size=3, learning_rate=1e-2)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    with path.at(2.0) as changed:
        moved = [name for name, value in changed.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) == 2 and all(name.endswith(f"{number}.{last}.weight") for number, name in enumerate(moved))
    assert all(value.requires_grad for value in model.parameters())


def test_misdirection_brings_the_texts_nearer_to_the_direction(make_model, sequences, tmp_path):
    request = request_of(make_model(), sequences, tmp_path)
    with captured("misdirection") as found:
        METHODS["misdirection"].path(request, alpha=0.0)
    path = METHODS["misdirection"].path(request, alpha=0.0, steps=6, every=6, learning_rate=1e-2)
    losses = []
    for effort in path.stops:
        with path.at(effort) as model, torch.no_grad():
            # The direction and its length were fixed at the first look, at the model to start from.
            losses.append(found[0][1](model, list(request.forget.values()), list(request.retain.values())).item())
    assert losses[1] < losses[0]


def test_slips_of_misdirection_are_one_line(asked):
    with pytest.raises(UserError, match="there is no block 3: the model has blocks 0 to 2"):
        loss_of("misdirection", asked, block=3)
    with pytest.raises(UserError, match=r"steering 0\.0 makes no sense here"):
        loss_of("misdirection", asked, steering=0.0)
    with pytest.raises(UserError, match="has no part `mlp` in its blocks"):
        misdirection.last_of_feed_forward(tiny("opt"), 0)


# Knowledge gap alignment


def test_the_gap_is_aligned_with_that_of_unseen_texts(asked, other, batch):
    options = {"teacher_steps": 2, "teacher_rate": 3e-3, "batch_size": 3, "retain_weight": 0.4, "unseen": UNSEEN}
    loss, how = loss_of("knowledge gap", asked, **options), Steps(2, 2, 3, 3e-3)
    mine = further_trained(asked.base, asked.forget, how, asked.seed, "teacher, to forget")
    strangers = further_trained(asked.base, UNSEEN, how, asked.seed, "teacher, unseen")

    def distance(one, two, texts):
        return sum(kl(log_p(one, ids), log_p(two, ids)) for ids in texts) / len(texts)

    gap = distance(strangers, asked.start, UNSEEN.values())
    expected = (distance(mine, other, batch[0]) - gap).abs() + 0.4 * distance(asked.start, other, batch[1])
    assert torch.allclose(loss(other, *batch), expected, rtol=1e-6)
    lower = distance(mine, mine, batch[0]) - gap
    assert loss(mine, *batch).item() >= -lower.item() - 1e-9 > 0, "nearer than the gap it is driven away"


def test_without_unseen_texts_there_is_no_gap(asked):
    with pytest.raises(UserError, match="this method needs texts that the model has never seen: give unseen"):
        loss_of("knowledge gap", asked)
    with pytest.raises(UserError, match="the model was trained on the text 'b'"):
        loss_of("knowledge gap", asked, unseen={"a": (0, 1), "b": tuple(asked.retain["text-1"])})


# Contrastive gradients


@pytest.fixture(scope="module")
def replaced(sequences):
    return {name: (*sequences[name][:3], 9, 8, 7, *sequences[name][4:]) for name in FORGET}


def naive_sum(model, texts):
    """The gradient of the mean token loss behind the third token, summed over texts."""
    losses = [-of_next(model, ids)[2:].mean() for ids in texts]
    names, values = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(sum(losses), values), strict=True))


@pytest.mark.parametrize("share", [0.1, 1.0])
def test_a_step_is_along_the_gradient_in_the_rows_least_like_the_other_answer(asked, replaced, share):
    mine = naive_sum(asked.start, asked.forget.values())
    beside = naive_sum(asked.start, replaced.values())
    cosines = []
    for name, value in mine.items():
        one, two = ([v[name]] if value.dim() == 1 else list(v[name]) for v in (mine, beside))
        for row, (a, b) in enumerate(zip(one, two, strict=True)):
            if a.any():
                cosines.append((float(a @ b / (a.norm() * b.norm()).clamp(min=1e-300)), name, row))
    cosines.sort(key=lambda entry: entry[0])
    expected = {name: torch.zeros_like(value) for name, value in mine.items()}
    for _, name, row in cosines[: round(share * len(cosines))]:
        if mine[name].dim() == 1:
            expected[name] = mine[name]
        else:
            expected[name][row] = mine[name][row]
    path = METHODS["contrastive"].path(asked, replacements=replaced, share=share, step_length=0.5)
    found, length = path.change(0.2), algebra.norm(expected)
    assert algebra.norm(found) == pytest.approx(0.2)
    assert all(torch.allclose(value, 0.2 * expected[name] / length, atol=1e-8) for name, value in found.items())
    if share == 1.0:
        assert all(torch.allclose(expected[name], value) for name, value in mine.items()), "plain ascent"


def test_rows_without_a_gradient_are_never_chosen_and_the_way_goes_on(asked, replaced):
    mine = {"a": torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]), "b": torch.tensor([1.0, 1.0])}
    beside = {"a": torch.tensor([[1.0, 1.0], [1.0, 0.1], [0.0, -1.0]]), "b": torch.tensor([1.0, 0.0])}
    found = contrastive.least_alike(mine, beside, 0.7)
    assert found["a"].tolist() == [[0.0, 0.0], [0.0, 0.0], [0.0, 2.0]] and found["b"].tolist() == [1.0, 1.0]
    path = METHODS["contrastive"].path(asked, replacements=replaced, step_length=0.2)
    losses = []
    for effort in (0.0, 0.2, 0.5):
        with path.at(effort) as model, torch.no_grad():
            losses.append(-sum(of_next(model, ids)[2:].mean().item() for ids in asked.forget.values()))
    assert losses[0] < losses[1] < losses[2]


def test_slips_of_contrast_are_one_line(asked, replaced):
    with pytest.raises(UserError, match=r"share 0\.0 is no part of the weight vectors"):
        METHODS["contrastive"].path(asked, replacements=replaced, share=0.0)
    with pytest.raises(UserError, match="step_length 0 makes no sense here"):
        METHODS["contrastive"].path(asked, replacements=replaced, step_length=0)
    longer = {name: (*text, 5) for name, text in asked.forget.items()}
    with pytest.raises(UserError, match="a replacement has to begin like its text, and to differ from it"):
        METHODS["contrastive"].path(asked, replacements=longer)
