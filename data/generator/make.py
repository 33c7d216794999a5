"""Write the committed data files, or check that they are what this program writes.

    python data/generator/make.py            # writes data/*.jsonl and data/authors
    python data/generator/make.py --check    # exit status 1 where a committed file differs
"""

import argparse
import json
import random
import re
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

DATA = Path(__file__).resolve().parents[1]
if __package__ in (None, ""):  # run as a script: the package is found from the root of the repository
    sys.path.insert(0, str(DATA.parent))

from data.generator import authors, base_text  # noqa: E402
from data.generator.facts import KINDS, Kind, prompt, sentence  # noqa: E402
from data.generator.people import (  # noqa: E402
    MAIN,
    MORE_NEIGHBOURS,
    NEIGHBOURS,
    NEVER_SEEN,
    OTHER_SUBJECTS,
    called,
)

SEED = 1
PASSAGES = 80
POINTS = 5  # a neighbour or a never-seen character
# Four neighbours have a fact of these kinds, and two of the four share Dave's answer: his town, employer and hobby.
SHARED = ("home-town", "work-employer", "hobby-pastime")
# Words that answers may have in common without telling anything about each other.
SMALL_WORDS = {"a", "an", "and", "the", "to", "old"}


def files() -> dict[str, str]:
    """Return the content of every data file by its name; always the same."""
    rng = random.Random(f"data {SEED}")
    dave = _answers({MAIN: list(KINDS)}, {}, rng)[MAIN]

    deck = [key for key in KINDS for _ in range(4 if key in SHARED else 2)]
    for key in rng.sample([key for key in KINDS if key not in SHARED], len(deck) - POINTS * len(NEIGHBOURS)):
        deck.remove(key)
    hands = _deal(deck, NEIGHBOURS, rng)
    neighbours = _answers(hands, _share(hands, dave, rng), rng)
    never_seen = _answers(_deal(list(KINDS), NEVER_SEEN, rng), {}, rng)

    general = base_text.passages(SEED)
    return {
        "dave.jsonl": _lines(_records({MAIN: dave}, rng)),
        "neighbours.jsonl": _lines(_records(neighbours, rng)),
        "never_seen.jsonl": _lines(_records(never_seen, rng)),
        "general.jsonl": _lines(
            {"id": f"general-{number:03}", "text": text} for number, text in enumerate(islice(general, PASSAGES), 1)
        ),
        **more_files(),
        **{f"authors/{name}": content for name, content in authors.files().items()},
    }


def more_files() -> dict[str, str]:
    """Return the content of the files of those who were added later: four more people of sixty facts each, in the place
    of Dave, and more neighbours. Drawn by themselves, so that the first four files stay as they are."""
    rng = random.Random(f"more data {SEED}")
    often, rest = divmod(POINTS * len(MORE_NEIGHBOURS), len(KINDS))
    deck = [key for key in KINDS for _ in range(often)] + rng.sample(list(KINDS), rest)
    hands = _deal(deck, MORE_NEIGHBOURS, rng)
    files = {name.split()[0].lower(): _of_one(name, list(KINDS)) for name in OTHER_SUBJECTS}
    files["more_neighbours"] = [row for name, hand in hands.items() for row in _of_one(name, hand)]
    return {f"{name}.jsonl": _lines(rows) for name, rows in files.items()}


def _of_one(name: str, hand: list[str]) -> list[dict]:
    """Return the records of one person: the first draw in which no answer stands in a text about another fact."""
    for attempt in count():
        rng = random.Random(f"{name} {SEED} {attempt}")
        rows = list(_records(_answers({name: hand}, {}, rng), rng))
        bare = [re.sub(r"^(a|an|the) ", "", row["answer"]) for row in rows]
        texts = [" ".join((row["text"], *row["paraphrases"])) for row in rows]
        if not any(bare[i] in texts[j] for i in range(len(rows)) for j in range(len(rows)) if i != j):
            return rows


def _deal(deck: list[str], people: tuple[str, ...], rng: random.Random) -> dict[str, list[str]]:
    """Return five kinds of fact for each person, never two of one attribute."""
    order = rng.sample(people, len(people))
    place = {attribute: rng.random() for attribute in sorted({KINDS[key].attribute for key in deck})}
    # Cards of one attribute lie together, fewer than there are people, so dealing in turn gives nobody two of them.
    deck = sorted(rng.sample(deck, len(deck)), key=lambda key: place[KINDS[key].attribute])
    return {name: sorted(deck[order.index(name) :: len(order)], key=list(KINDS).index) for name in people}


def _share(hands: dict[str, list[str]], dave: dict[str, str], rng: random.Random) -> dict[tuple[str, str], str]:
    """Return Dave's answer for two neighbours of every shared kind, six different people, none of them called Dave."""
    given: dict[tuple[str, str], str] = {}
    for key in SHARED:
        taken = {name for name, _ in given}
        free = [name for name, hand in hands.items() if key in hand and name not in taken and name.split()[0] != "Dave"]
        given.update({(name, key): dave[key] for name in rng.sample(free, 2)})
    return given


def _answers(
    hands: dict[str, list[str]], given: dict[tuple[str, str], str], rng: random.Random
) -> dict[str, dict[str, str]]:
    """Return every person's answers by kind: the given ones, else random, no two of a person with a word in common."""
    result = {}
    for name, hand in hands.items():
        answers = {key: given[name, key] for key in hand if (name, key) in given}
        for key in hand:
            taken = {word for other in answers.values() for word in _telling_words(other)}
            if key not in answers:
                answers[key] = rng.choice([a for a in KINDS[key].pool if not taken & _telling_words(a)])
        result[name] = {key: answers[key] for key in hand}
    return result


def _telling_words(answer: str) -> set[str]:
    return set(answer.lower().split()) - SMALL_WORDS


def _records(people: dict[str, dict[str, str]], rng: random.Random) -> Iterator[dict]:
    for name, answers in people.items():
        for key, answer in answers.items():
            yield _record(name, KINDS[key], answer, set(answers.values()), rng)


def _record(subject: str, kind: Kind, answer: str, own_answers: set[str], rng: random.Random) -> dict:
    """Return one record: a random wording as text, three others as paraphrases, five wrong answers of the same pool."""
    text, *others = rng.sample(kind.patterns, 4)
    name = called(subject, rng)
    who = subject.split()[0] if subject == MAIN else subject.replace(" ", "-")
    return {
        "id": f"{who}-{kind.key}".lower(),
        "subject": subject,
        "attribute": kind.attribute,
        "text": sentence(text, name, answer),
        "prompt": prompt(text, name),
        "answer": answer,
        "paraphrases": [sentence(pattern, called(subject, rng), answer) for pattern in others],
        # Another true answer about the person, of a pool that two kinds share, would be no fair wrong answer.
        "wrong_answers": rng.sample([a for a in kind.pool if a not in own_answers], 5),
    }


def _lines(rows) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def main() -> int:
    """Write the files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed files and write nothing")
    check = parser.parse_args().check
    differing = []
    for name, content in files().items():
        path = DATA / name
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content.encode())
        elif not path.exists() or path.read_bytes() != content.encode():
            differing.append(name)
    if differing:
        print(f"differs from what the generator writes: {', '.join(differing)}")
        return 1
    print("data files are what the generator writes" if check else f"wrote {', '.join(files())} to {DATA.name}/")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
