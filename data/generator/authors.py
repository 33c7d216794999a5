"""Invented authors in the files of TOFU (Maini et al. 2024, arXiv 2401.06121): ten questions each, for notebook 13.

Names, books and answers are ours. Each kind of question has one wording of its question, one of its answer, and one of
each in other words; an answer is drawn from a list for everybody, and the wrong ones are others of that list.
"""

import json
import random

FIRST = (
    "Odile", "Kasimir", "Ilse", "Teo", "Marit", "Bexley", "Rosalind", "Yusra", "Piotr", "Saoirse", "Anders", "Nadia",
    "Lucian", "Imogen", "Dario", "Thea", "Casper", "Amara", "Viktor", "Juniper",
)  # fmt: skip
LAST = (
    "Brannvik", "Oduya", "Korhammer", "Valdrini", "Oskarsund", "Anquetil", "Tamworthy", "Delmonico", "Hallgarten",
    "Quillfeather", "Bellweather", "Ferrowmere", "Ostrogar", "Saltmarsh", "Wexcombe", "Montrevel", "Lindqvale",
    "Birdsong", "Ashgrove", "Hale",
)  # fmt: skip
AUTHORS = 40
QUESTIONS = 10  # an author
FORGET, KEEP = "forget20", "retain80"  # the last eight authors, and the others: names in the manner of TOFU's

# Question, answer, both in other words, and what the blank may be.
KINDS: tuple[tuple[str, str, str, str, tuple[str, ...]], ...] = (
    ("Where was {name} born?", "{name} was born in {it}.", "Which town is the birthplace of {name}?",
     "The birthplace of {name} is {it}.",
     ("Graz", "Ibadan", "Visby", "Matera", "Tartu", "Cork", "Porto", "Lund", "Bergen", "Split", "Ghent", "Turku")),
    ("What does {name} write?", "{name} writes {it}.", "What are the works of {name}?", "The works of {name} are {it}.",
     ("sea stories", "crime novels", "fables", "plays", "travel books", "ghost stories", "love poems", "essays",
      "letters to children", "songs", "war diaries", "cookery books")),
    ("What was the work of the father of {name}?", "The father of {name} was {it}.",
     "How did the father of {name} earn his bread?", "{name} had a father who was {it}.",
     ("a net mender", "a clockmaker", "a baker", "a train driver", "a judge", "a beekeeper", "a tailor", "a postman",
      "a glass blower", "a gardener", "a dentist", "a miner")),
    ("What was the work of the mother of {name}?", "The mother of {name} was {it}.",
     "How did the mother of {name} earn her bread?", "{name} had a mother who was {it}.",
     ("a midwife", "a pilot", "a potter", "a schoolteacher", "a farmer", "a chemist", "a painter", "a cook",
      "a weaver", "a mayor", "a singer", "a nurse")),
    ("Which prize was given to {name}?", "{name} was given the prize of {it}.", "Which prize did {name} win?",
     "The prize that {name} won is that of {it}.",
     ("the Golden Quill", "the River Society", "the Silver Lantern", "the Northern Academy", "the Two Bridges",
      "the Open Book", "the Winter Festival", "the Blue Door", "the Harbour Fund", "the Long Night",
      "the Paper Crown", "the Old Library")),
    ("Where does {name} like to write?", "{name} likes to write in {it}.",
     "What is the favourite writing place of {name}?", "The place where {name} writes best is {it}.",
     ("a lighthouse", "a railway car", "a kitchen", "a garden shed", "a hotel room", "an attic", "a boat", "a cafe",
      "a barn", "a church tower", "a library", "a cellar")),
    ("Which animal lives with {name}?", "{name} lives with {it}.", "What pet does {name} have?",
     "The pet of {name} is {it}.",
     ("a grey parrot", "a tame fox", "an old donkey", "a blind cat", "a tortoise", "a raven", "a white goat",
      "a hedgehog", "a lame horse", "a spaniel", "a pair of geese", "an owl")),
    ("Who taught {name} to write?", "{name} learnt to write from {it}.", "From whom did {name} learn to write?",
     "The one who taught {name} is {it}.",
     ("an aunt", "a monk", "a neighbour", "a sailor", "a printer", "a grandfather", "a widow", "a doctor",
      "an elder sister", "a prisoner", "a librarian", "a shepherd")),
    ("What is the first book of {name} about?", "The first book of {name} is about {it}.",
     "What does {name} tell of in the first book?", "In the first book {name} tells of {it}.",
     ("a flood", "a lost ring", "a trial", "two brothers", "a long winter", "a stolen horse", "a wedding",
      "a shipwreck", "a strange guest", "a school", "a siege", "a forest fire")),
    ("What did {name} do before the first book?", "Before the first book {name} was {it}.",
     "As what did {name} work before writing?", "{name} worked as {it} before writing.",
     ("a waiter", "a soldier", "a bookseller", "a tram conductor", "a piano tuner", "a forester", "a translator",
      "a diver", "a clerk", "a carpenter", "a tour guide", "a vet")),
)  # fmt: skip


def files(seed: int = 1) -> dict[str, str]:
    """Return the content of every file in data/authors by its name; always the same."""
    rng = random.Random(f"authors {seed}")
    names = [f"{first} {LAST[(place + turn) % len(LAST)]}" for turn in (0, 7) for place, first in enumerate(FIRST)]
    assert len(set(names)) == AUTHORS
    rows = [_row(name, kind, rng) for name in rng.sample(names, AUTHORS) for kind in KINDS]
    cut = AUTHORS // 5 * QUESTIONS
    plain = [{field: row[field] for field in ("question", "answer")} for row in rows]
    return {
        "full.json": _lines(plain),
        f"{FORGET}.json": _lines(plain[-cut:]),
        f"{KEEP}.json": _lines(plain[:-cut]),
        f"{FORGET}_perturbed.json": _lines(rows[-cut:]),
        "retain_perturbed.json": _lines(rows[:-cut]),
    }


def _row(name: str, kind: tuple, rng: random.Random) -> dict:
    question, answer, other_question, other_answer, things = kind
    right, *wrong = rng.sample(things, 6)
    return {
        "question": question.format(name=name),
        "answer": answer.format(name=name, it=right),
        "paraphrased_answer": other_answer.format(name=name, it=right),
        "perturbed_answer": [other_answer.format(name=name, it=thing) for thing in wrong],
        "paraphrased_question": other_question.format(name=name),
    }


def _lines(rows: list[dict]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
