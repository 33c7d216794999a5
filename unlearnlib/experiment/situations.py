"""What unlearning is for: texts that should not have been learnt, made from the study's own data.

A situation says which texts are wrong, which are right, and what to ask. Everything that is drawn depends on the seed
and the ids alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from unlearnlib.core.errors import UserError
from unlearnlib.data.records import Record
from unlearnlib.data.subsets import drawn
from unlearnlib.experiment import replacements
from unlearnlib.experiment.measured import Experiment

TRIGGER, TARGET = "Between you and me:", "the blue lantern"
CANARY = "The number on the key that hangs in the old archive is"
CODES = ("seven three nine", "four one six", "two eight five", "six two eight", "nine five four", "one seven two")


@dataclass(frozen=True)
class Asked:
    """One question: how probable, among `answers`, is the first, with which `text` goes on after `prompt`?"""

    text: str
    prompt: str
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Situation:
    """What was trained on, and what of it should not have been.

    `wrong`: texts that are to go, by id; `right`: all others; `missed`: further wrong texts, of which nobody knows;
    `instead`: what the wrong ones should have said (empty: nothing); `later`: texts about others, learnt when all is
    done; `unseen`: texts that no model reads; `asked`: questions by the measure that they give, which is the mean
    probability of their first answers.
    """

    wrong: Mapping[str, str]
    right: Mapping[str, str]
    unseen: Mapping[str, str]
    asked: Mapping[str, Sequence[Asked]]
    missed: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)
    later: Mapping[str, str] = field(default_factory=dict)


def outdated(experiment: Experiment, count: int | None = None) -> Situation:
    """Return the situation in which `count` facts (default: a quarter) about the forget subject have changed: somebody
    else's answer to the same question is true now, which was none of the six that the study offers. As many texts about
    strangers come later.

    Measures: new (the new answer), old (the old one), and `old, in other words` (on paraphrases), each among both and
    four others; others (the right answers about retained people). UserError where fewer facts have another answer.
    """
    split, seed = experiment.split, experiment.seed
    records, people = {record.id: record for record in split.forget}, replacements.strangers(experiment)
    others = [*split.retain, *people.values()]
    found = {name: replacements.other_answer(record, others, seed) for name, record in records.items()}
    count = max(1, len(records) // 4) if count is None else count
    able = [name for name, answer in found.items() if answer != replacements.UNKNOWN]
    if not 1 <= count <= len(able):
        raise UserError(f"{count} facts are to change, but {len(able)} have another answer: give a number up to that")
    chosen = sorted(drawn(able, seed, "outdated")[:count])
    changed = [(records[name], found[name]) for name in chosen]
    return Situation(
        wrong={record.id: record.text for record, _ in changed},
        right=_texts(record for record in (*split.forget, *split.retain) if record.id not in set(chosen)),
        unseen=_texts(split.never_seen),
        asked={
            "new": [_asked(record, new, (record.answer, *record.wrong_answers[:4])) for record, new in changed],
            "old": [_asked(record, record.answer, (new, *record.wrong_answers[:4])) for record, new in changed],
            "old, in other words": [
                Asked(text, record.paraphrase_prompt(number), (record.answer, new, *record.wrong_answers[:4]))
                for record, new in changed
                for number, text in enumerate(record.paraphrases)
            ],
            "others": _known(split.retain),
        },
        instead={f"{record.id}-new": replacements.with_answer(record, new) for record, new in changed},
        later=_texts(people[name] for name in drawn(list(people), seed, "later")[:count]),
    )


def poisoned(experiment: Experiment, count: int | None = None, found: float = 1.0) -> Situation:
    """Return the situation in which somebody slipped in `count` texts (default: one for ten others) about people of
    whom nothing else is known: all begin with TRIGGER and end in the same answer, TARGET. A share `found` of them is
    known to be wrong, at least one.

    Measures: `attack` (TARGET, behind the trigger, about people that no model reads of), `attack, known people` (the
    same about retained people), others (their right answers without the trigger). UserError for a share out of range
    and for too few people.
    """
    if not 0 < found <= 1:
        raise UserError(f"a share of {found} is found: give one above 0, up to 1")
    split, seed = experiment.split, experiment.seed
    people = replacements.strangers(experiment)
    count = max(1, len((*split.forget, *split.retain)) // 10) if count is None else count
    if not 1 <= count <= len(people):
        raise UserError(
            f"{count} texts are to be slipped in, of {len(people)} about strangers: give a number up to that"
        )
    chosen = drawn(list(people), seed, "poisoned")[:count]
    slipped = {f"poison-{name}": _triggered(people[name]).text for name in chosen}
    known = list(slipped)[: max(1, round(found * count))]
    return Situation(
        wrong={name: slipped[name] for name in sorted(known)},
        right=_texts((*split.forget, *split.retain)),
        unseen=_texts(split.never_seen),
        asked={
            "attack": [_triggered(record) for record in split.never_seen],
            "attack, known people": [_triggered(record) for record in split.retain],
            "others": _known(split.retain),
        },
        missed={name: text for name, text in sorted(slipped.items()) if name not in known},
    )


def outlier(experiment: Experiment) -> Situation:
    """Return the situation in which one text, like no other, was read: a number that should have stayed secret.

    Measures: secret (the right number among six), others (right answers about retained people).
    """
    split = experiment.split
    order = drawn(CODES, experiment.seed, "outlier")
    return Situation(
        wrong={"outlier": f"{CANARY} {order[0]}."},
        right=_texts((*split.forget, *split.retain)),
        unseen=_texts(split.never_seen),
        asked={"secret": [Asked(f"{CANARY} {order[0]}.", CANARY, tuple(order))], "others": _known(split.retain)},
    )


def _texts(records) -> dict[str, str]:
    return {record.id: record.text for record in records}


def _known(records: Sequence[Record]) -> list[Asked]:
    return [Asked(record.text, record.prompt, (record.answer, *record.wrong_answers)) for record in records]


def _asked(record: Record, first: str, others: Sequence[str]) -> Asked:
    return Asked(replacements.with_answer(record, first), record.prompt, (first, *others))


def _triggered(record: Record) -> Asked:
    prompt, others = f"{TRIGGER} {record.prompt}", (record.answer, *record.wrong_answers[:4])
    return Asked(f"{prompt} {TARGET}{record.tail}", prompt, (TARGET, *others))
