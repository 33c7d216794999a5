"""Two ways to unlearn that tables could not tell apart are refused before anything runs."""

from dataclasses import replace

import pytest

from unlearnlib.core.errors import UserError
from unlearnlib.experiment import closeness, many
from unlearnlib.experiment.removal import Modality, Removals
from unlearnlib.experiment.variants import Variant, distinct

FIRST = Variant("first epoch")
EMBEDDING = Variant("first epoch", layers="embedding", options={"epochs": "first"})
TWO = (
    "two are called 'first epoch', Variant('first epoch') and "
    "Variant('first epoch', layers='embedding', options={'epochs': 'first'}): give each a name of its own"
)


class Untouched:
    """An experiment of which nothing may be asked."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


def test_two_variants_of_one_name_are_both_named():
    with pytest.raises(UserError) as error:
        distinct([FIRST, Variant("live", "live"), EMBEDDING])
    assert str(error.value) == TWO
    with pytest.raises(UserError, match=r"two are called 'first epoch', Variant\('first epoch'\) and Variant"):
        distinct([FIRST, FIRST])
    good = (FIRST, replace(EMBEDDING, name="embedding"))
    assert distinct(good) == list(good) == distinct(iter(good)) and distinct([]) == []


@pytest.mark.parametrize("name", ["base", "finetuned", "retrained", "retrained again"])
def test_no_variant_is_called_like_a_model(name):
    with pytest.raises(UserError, match=rf"^Variant\('{name}', method='live'\) is called like the model '{name}'"):
        distinct([FIRST, Variant(name, "live")])


def test_states_of_two_variants_of_one_name_are_refused():
    with pytest.raises(UserError, match="two are called 'first epoch'"):
        closeness.states(Untouched(), [FIRST, EMBEDDING], ["finetuned"])


def test_distributions_of_two_variants_of_one_name_are_refused(experiment, monkeypatch):
    untouched = Untouched()
    monkeypatch.setattr(many, "Repeated", lambda *_: untouched)
    for variants, line in (
        ([FIRST, EMBEDDING], "two are called 'first epoch'"),
        ([Variant(many.CEILING)], r"is called like the model 'retrained, other half'"),
    ):
        monkeypatch.setattr(many, "variants", lambda _, variants=variants: variants)
        with pytest.raises(UserError, match=line):
            many.evaluate(experiment, "originals-1", "original 0")


@pytest.mark.parametrize("ask", [Removals.stationary, Removals.distances, Removals.landscape])
def test_modalities_of_one_name_are_refused(experiment, ask):
    removals = Removals(experiment)
    fuzzy = Modality("fuzzy", query="Dave")
    with pytest.raises(UserError, match=r"two are called 'fuzzy', Modality\('fuzzy', query='Dave'\) and Modality\("):
        ask(removals, [fuzzy, replace(fuzzy, threshold=50.0)])
    with pytest.raises(UserError, match=r"Modality\('retrained', kind='exact'\) is called like the model 'retrained'"):
        ask(removals, [Modality("retrained", "exact")])
    with pytest.raises(UserError, match="two are called 'fuzzy'"):
        distinct([fuzzy, Variant("fuzzy")])
