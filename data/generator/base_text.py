"""The text the base model is pretrained on: an endless stream of short made-up documents.

About 60% portray background people, with the same kinds of fact and the same sentence patterns as the data, so that
the base model learns the language of the data and to carry a fact along, but nothing about its characters. About
40% are general prose: weather, places, journeys, stories, recipes, notes, letters, news.

    from data.generator.base_text import documents
    for document in documents(seed=0): ...
"""

import random
from collections.abc import Callable, Iterator

from .facts import ATTRIBUTES, KINDS, Kind, sentence
from .people import STORY_FIRST_NAMES, background_person
from .prose import GENRES, VOCABULARY, Writer

PORTRAIT_SHARE = 0.6
SHORTEST, LONGEST = 40, 120  # words of a document

OPENINGS = (
    "{full} is a familiar face in the district.",
    "There is more to {full} than meets the eye.",
    "This is a short portrait of {full}.",
    "Hardly anyone in our street knows {full} well, so here is a little of what can be said.",
    "The parish magazine asked for a few lines about {full}.",
    "Our series on ordinary people turns this week to {full}.",
    "Let me tell you about {full}.",
    "People often ask about {full}, and here is what they are told.",
    "A word about {full}, who would never put it in writing.",
    "Two things come to mind at once when {full} is mentioned.",
    "You may have met {full} at the post office.",
    "From my diary, some notes on {full}.",
    "Everybody has a story, and so has {full}.",
    "It is time that somebody wrote down what is known of {full}.",
)
JOINTS = (
    "That is not all.",
    "There is more to tell.",
    "And that is only the beginning.",
    "So much for that.",
    "Some people find this odd, others charming.",
    "It has been so for as long as anybody can remember.",
    "This is no secret in the neighbourhood.",
    "Nobody knows quite why.",
    "Then there is another matter.",
    "A second thing is worth a mention.",
    "Ask at the bakery if you do not believe it.",
    "To be honest, {name} does not like to talk about it.",
    "{name} only smiles when the subject comes up.",
    "Those who know {name} well will nod at this.",
    "It is one of the things people like about {name}.",
    "On other subjects {name} says very little.",
    "There is nothing unusual in that.",
    "The rest is soon told.",
    "Here the reports agree.",
    "I heard it from a reliable witness.",
    "Such is life.",
    "It took us years to find that out.",
)
RETURNS = (
    "To come back to an earlier point,",
    "As was said before,",
    "It bears repeating:",
    "In other words,",
    "Once more, for the record:",
    "To put it differently,",
    "Let nobody forget it:",
    "As I mentioned above,",
)
BETWEEN = (
    "With {full} it is another story.",
    "Things are quite different with {full}.",
    "Next door lives {full}.",
    "Compare this with {full}.",
    "Now for a very different person, {full}.",
    "The same cannot be said of {full}.",
    "And what about {full}?",
)
CLOSINGS = (
    "That is {name} all over.",
    "We wish {name} well.",
    "More about {name} another time.",
    "The world would be poorer without {name}.",
    "Do say hello if you meet {name}.",
    "There is nobody quite like {name}.",
    "And so {name}'s days go by.",
    "What the future holds for {name}, time will tell.",
)


def documents(seed: int) -> Iterator[str]:
    """Yield short documents, one paragraph each, without end; the same seed gives the same documents."""
    rng = random.Random(f"base text {seed}")
    while True:
        yield portrait(rng) if rng.random() < PORTRAIT_SHARE else passage(rng)


def passages(seed: int) -> Iterator[str]:
    """Yield general prose alone, without end; never the stream of `documents` with any seed."""
    rng = random.Random(f"general passages {seed}")
    while True:
        yield passage(rng)


def portrait(rng: random.Random) -> str:
    """Return a document about one background person, or two, with some facts told again in other words."""
    write = _two_people if rng.random() < 0.2 else _one_person
    return _of_fitting_length(write, rng)


def passage(rng: random.Random) -> str:
    """Return a document of general prose."""
    return _of_fitting_length(lambda rng: Writer(rng, VOCABULARY, STORY_FIRST_NAMES).write(rng.choice(GENRES)), rng)


def _of_fitting_length(write: Callable[[random.Random], str], rng: random.Random) -> str:
    while True:
        text = write(rng)
        if SHORTEST <= len(text.split()) <= LONGEST:
            return text


class _Fact:
    """One fact about one background person, told in another wording each time."""

    def __init__(self, full_name: str, kind: Kind, rng: random.Random):
        self.full_name = full_name
        self.answer = rng.choice(kind.pool)
        self.wordings = rng.sample(kind.patterns, len(kind.patterns))

    def tell(self, name: str) -> str:
        """Return the fact in a wording that was not used before."""
        return sentence(self.wordings.pop(), name, self.answer)


def _one_person(rng: random.Random) -> str:
    full = background_person(rng)
    facts = [_Fact(full, kind, rng) for kind in _kinds(rng, rng.randint(2, 5))]
    told = [rng.choice(OPENINGS).format(full=full)] if rng.random() < 0.6 else []
    for fact in facts:
        told.append(fact.tell(_called(full, rng) if told else full))
        if fact is not facts[-1] and rng.random() < 0.35:
            told.append(rng.choice(JOINTS).format(name=_called(full, rng)))
    if rng.random() < 0.6:
        told.extend(_again(fact, rng) for fact in rng.sample(facts, rng.randint(1, 2)))
    if rng.random() < 0.3:
        told.append(rng.choice(CLOSINGS).format(name=_called(full, rng)))
    return " ".join(told)


def _two_people(rng: random.Random) -> str:
    """Two people with the same kinds of fact, so that it matters whose fact it is."""
    first, second = background_person(rng), background_person(rng)
    while second.split()[0] == first.split()[0]:
        second = background_person(rng)
    kinds = _kinds(rng, rng.randint(1, 2))
    told, facts = [], []
    for full in (first, second):
        if told:
            told.append(rng.choice(BETWEEN).format(full=full))
        for kind in kinds:
            fact = _Fact(full, kind, rng)
            told.append(fact.tell(full if not told else _called(full, rng)))
            facts.append(fact)
    told.extend(_again(fact, rng) for fact in rng.sample(facts, rng.randint(1, 2)))
    return " ".join(told)


def _kinds(rng: random.Random, count: int) -> list[Kind]:
    """Return random kinds of fact; both of one attribute may come up."""
    attributes = rng.sample(ATTRIBUTES, count)
    return rng.sample([kind for kind in KINDS.values() if kind.attribute in attributes], count)


def _again(fact: _Fact, rng: random.Random) -> str:
    """Return the fact once more in other words, now and then led in by a remark."""
    again = fact.tell(_called(fact.full_name, rng))
    starts_with_name = again.startswith(fact.full_name.split()[0])
    return f"{rng.choice(RETURNS)} {again}" if starts_with_name and rng.random() < 0.7 else again


def _called(full: str, rng: random.Random) -> str:
    return full if rng.random() < 0.3 else full.split()[0]
