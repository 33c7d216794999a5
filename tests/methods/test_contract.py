"""What every method keeps to, whoever wrote it: the contract of Request, Method and Path."""

import numpy as np
import pytest
import torch
from unlearning import kept_in

from unlearnlib.core.errors import UserError
from unlearnlib.measures import evaluation
from unlearnlib.methods import path as paths
from unlearnlib.methods import trained
from unlearnlib.methods.equal_forgetting import first_stop
from unlearnlib.methods.named import METHODS
from unlearnlib.methods.request import FIELDS, Later, Method, Request
from unlearnlib.methods.trained import Steps, mean_loss
from unlearnlib.training.watch import watch

FORGET = ["text-0", "text-2", "text-6"]
REPLACED = {name: (0, 5, 4, 3, 2) for name in FORGET}
SHORT = {"steps": 2, "every": 1, "batch_size": 2}
OPTIONS = {
    **{
        name: SHORT
        for name in (
            *("trained ascent", "KL ascent", "NPO", "NPO, retaining", "SimNPO", "SimNPO, retaining", "retained only"),
            *("UNDIAL", "bad teacher", "base teacher", "misdirection", "Quark"),
        )
    },
    **{name: {**SHORT, "replacements": REPLACED} for name in ("other answers", "DPO", "DPO, retaining", "saliency")},
    **{name: {"steps": 2, "batch_size": 2} for name in ("task vector", "own task vector", "negated adapter")},
    **{name: {**SHORT, "reinforce_steps": 1} for name in ("generic predictions", "reverse KL")},
    "SCRUB": {**SHORT, "every": 2, "min_steps": 1},
    "unlearning layers": {**SHORT, "rank": 4},
    "knowledge gap": {**SHORT, "teacher_steps": 1, "unseen": {"a": (0, 5, 4, 3, 2), "b": (0, 9, 9)}},
    "contrastive": {"replacements": REPLACED},
    "dampening": {"against": "retained"},  # of few texts none matters more than thrice as much as all of them
    "gradient difference": {"steps": 6, "every": 2, "batch_size": 2, "learning_rate": 1e-3},
    "fuzzy": {"query": "text 2", "threshold": 100},
    "in turn": {"longest": 0.05},
}


@pytest.fixture(scope="module")
def whole(recorded, make_model, sequences, tmp_path_factory):
    """A request that hands out every field."""

    def known(model, names):
        return np.exp(-evaluation.text_nll(model, [sequences[name] for name in names]))

    def watched():
        others = [name for name in sequences if name not in FORGET]
        return watch(recorded.log, make_model(), sequences, FORGET, others, tmp_path_factory.mktemp("watched"))

    request = recorded.having(
        watched=Later(watched),
        retain={name: ids for name, ids in sequences.items() if name not in FORGET},
        base=Later(make_model),
        texts={name: f"This is {name.replace('-', ' ')}." for name in sequences},
        known=known,
        target=0.7 * float(known(recorded.start, FORGET).mean()),
        keep=kept_in(tmp_path_factory.mktemp("kept") / "any"),
    )
    assert set(request._fields) == set(FIELDS)
    return request


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def an_effort(path) -> float:
    return path.stops[-1] if path.stops else 0.3


@pytest.mark.parametrize("name", METHODS)
def test_a_path_begins_at_the_start_and_leaves_it_bitwise_untouched(whole, name, tmp_path):
    kept, other = (whole.having(keep=kept_in(tmp_path / folder)) for folder in ("kept", "other"))
    path, before = METHODS[name].path(kept, **OPTIONS.get(name, {})), weights(whole.start)
    with path.at(0.0) as model:
        assert same(weights(model), before)
    with path.at(an_effort(path)) as model:
        moved = weights(model)
        assert not same(moved, before) and all(torch.isfinite(value).all() for value in moved.values())
    assert same(weights(whole.start), before)
    with pytest.raises(ZeroDivisionError), path.at(an_effort(path)):
        1 / 0  # noqa: B018
    assert same(weights(whole.start), before), "also where something fails"
    again = METHODS[name].path(other, **OPTIONS.get(name, {}))
    with again.at(an_effort(again)) as model:
        assert same(weights(model), moved), "the same request gives the same models"


@pytest.mark.parametrize("name", METHODS)
def test_a_method_sees_what_it_says_it_uses_and_needs_it(whole, name, tmp_path):
    method = METHODS[name]
    for field in method.uses:
        whole = whole.having(keep=kept_in(tmp_path / field))
        less = Method(method.unlearn, method.uses - {field})
        with pytest.raises(UserError, match=rf"this method asks for '{field}' .* and does not say so"):
            path = less.path(whole, **OPTIONS.get(name, {}))
            with path.at(an_effort(path)):
                pass


@pytest.mark.parametrize("name", METHODS)
def test_a_path_says_what_its_effort_counts_and_where_it_may_stop(whole, name, tmp_path):
    path = METHODS[name].path(whole.having(keep=kept_in(tmp_path / "kept")), **OPTIONS.get(name, {}))
    assert path.unit and (path.stops is None or path.stops[0] == 0)
    path.check(0.0)
    path.check(an_effort(path))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=r"no length|no stop at"):
            path.check(wrong)
    with pytest.raises(UserError, match="no option 'colour' of this method"):
        METHODS[name].path(whole, colour="red", **OPTIONS.get(name, {}))


def test_a_path_of_stops_refuses_what_lies_between_them(whole):
    path = METHODS["gradient difference"].path(whole, **OPTIONS["gradient difference"])
    assert (path.stops, path.unit) == ((0.0, 2.0, 4.0, 6.0), "optimizer steps")
    with pytest.raises(UserError, match="no stop at 3 optimizer steps: choose from: 0, 2, 4, 6"):
        path.check(3.0)


def test_the_other_ways_to_make_a_path(whole, make_model):
    start, other = whole.start, make_model(seed=5)
    path = paths.scaled(start, paths.change_between(start, other))
    with path.at(1.0) as model:
        assert all(torch.allclose(value, weights(other)[name], atol=1e-6) for name, value in weights(model).items())
    with path.at(0.0) as model:
        assert same(weights(model), weights(start))
    path = paths.once(start, other)
    with path.at(1.0) as model, path.at(0.0) as before:
        assert model is other and before is start
    path.check(1.0)
    with pytest.raises(UserError, match=r"no stop at 0\.5 once"):
        path.check(0.5)
    with pytest.raises(UserError, match="begin at 0 and rise"):
        paths.Path(path.at, stops=(1.0, 2.0))


def test_a_request_hands_out_what_it_has_and_makes_it_when_asked(whole):
    made = []
    request = whole.having(base=Later(lambda: made.append(1) or "base"))
    assert not made and (request.base, request.base, made) == ("base", "base", [1])
    with pytest.raises(UserError, match="a request hands out no 'retian': did you mean 'retain'"):
        whole.having(retian={})
    with pytest.raises(AttributeError, match="did you mean 'retain'"):
        _ = whole.retian
    with pytest.raises(UserError, match="a method cannot use 'retian': did you mean 'retain'"):
        Method(METHODS["live"].unlearn, frozenset({"retian"}))


# Methods that train


def test_stops_are_trained_once_and_read_by_everybody(whole, monkeypatch):
    options = {**OPTIONS["gradient difference"], "learning_rate": 2e-3}
    kept = {}

    def keep(compute, name, folder=whole.log / "once"):
        if folder not in kept:
            kept[folder] = folder.mkdir()
            compute(folder)
        return folder

    asked = whole.having(keep=keep)
    with METHODS["gradient difference"].path(asked, **options).at(4.0) as model:
        first = weights(model)
    monkeypatch.setattr(torch.optim, "AdamW", lambda *given, **named: pytest.fail("trained again"))
    for effort in (4.0, 2.0, 6.0):
        with METHODS["gradient difference"].path(asked, **options).at(effort) as model:
            assert same(weights(model), first) == (effort == 4.0)
    assert sorted(path.name for path in (whole.log / "once").iterdir()) == [
        *(f"after-step-{number}.safetensors" for number in (2, 4, 6)),
        "log.csv",
    ]


def naive_loss(model, ids) -> torch.Tensor:
    tokens = torch.tensor([ids])
    return torch.nn.functional.cross_entropy(model(tokens).logits[0, :-1], tokens[0, 1:])


@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_gradient_difference_is_what_a_plain_loop_does(whole, make_model, weight):
    """Two steps of AdamW on single texts without padding, each with its own loss."""
    options = {"steps": 2, "every": 1, "batch_size": 3, "learning_rate": 1e-3, "retain_weight": weight}
    start, model = make_model().double(), make_model().double()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
    batches = [
        trained._in_turn(texts, whole.seed, 3, what)
        for texts, what in ((whole.forget, "forget"), (whole.retain, "retain"))
    ]
    for _ in range(2):
        forget, retain = (next(texts) for texts in batches)
        loss = weight * sum(naive_loss(model, ids) for ids in retain) / 3
        (loss - sum(naive_loss(model, ids) for ids in forget) / 3).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    texts = {"forget": whole.forget, "retain": whole.retain}
    kept = Request(start, whole.seed, **texts, keep=kept_in(whole.log / f"loop-{weight}"))
    with METHODS["gradient difference"].path(kept, **options).at(2.0) as mine:
        for (name, value), (_, other) in zip(mine.named_parameters(), model.named_parameters(), strict=True):
            assert torch.allclose(value, other, rtol=0, atol=1e-7), name


def test_batches_come_round_evenly_and_depend_on_the_seed_alone():
    texts = {f"text-{number}": [number] for number in range(7)}
    one, other, seeded = (trained._in_turn(texts, seed, 3, "forget") for seed in (0, 0, 1))
    drawn = [next(one) for _ in range(7)]
    assert drawn == [next(other) for _ in range(7)] != [next(seeded) for _ in range(7)]
    flat = [ids[0] for batch in drawn for ids in batch]
    assert all(sorted(flat[start : start + 7]) == list(range(7)) for start in (0, 7, 14)), "each text once a round"
    assert flat[:7] != flat[7:14]
    with pytest.raises(UserError, match="no texts to forget"):
        next(trained._in_turn({}, 0, 3, "forget"))


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"steps": 0}, "steps 0 leads nowhere"),
        ({"every": 5}, "48 steps have no stop at their end with one after every 5"),
        ({"batch_size": 2.5}, "batch_size 2.5 leads nowhere"),
        ({"learning_rate": 0.0}, "learning_rate 0.0 leads nowhere"),
    ],
)
def test_a_slip_in_how_a_method_trains_is_one_line(wrong, line):
    with pytest.raises(UserError, match=line):
        Steps(**wrong)


def test_a_loss_that_is_not_finite_is_named_with_its_step(whole):
    def broken(model, forget, retained):
        return mean_loss(model, forget) * float("nan")

    def method(request):
        return trained.trained(request, broken, Steps(steps=2, every=1), request.retain, "broken")

    kept = whole.having(keep=kept_in(whole.log / "broken"))
    path = Method(method, frozenset({"forget", "retain", "keep"})).path(kept)
    with (
        pytest.raises(UserError, match="the loss became nan in step 1: lower the method's learning_rate"),
        path.at(1.0),
    ):
        pass


def test_the_first_stop_at_the_target_is_taken_and_nothing_between():
    values = {0.0: 0.9, 2.0: 0.5, 4.0: 0.2, 6.0: 0.3}
    asked = []

    def measure(stop):
        asked.append(stop)
        return values[stop]

    found = first_stop(measure, 0.25, tuple(values))
    assert (found.step_size, found.value, found.reached) == (4.0, 0.2, True) and asked == [0.0, 2.0, 4.0]
    at_target = first_stop(values.get, 0.2, tuple(values))
    assert at_target.reached and at_target.step_size == 4.0, "at the target counts"
    never = first_stop(values.get, 0.1, tuple(values))
    assert (never.step_size, never.value, never.reached, len(never.evaluated)) == (4.0, 0.2, False, 4)
