"""What every source of other data gives: items to forget, to keep, held out, and to ask."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from unlearnlib.core.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

KINDS = ("question", "cloze", "continuation", "text")


@dataclass(frozen=True)
class Item:
    """One text (kind `text`: `text` alone), or something to ask with its right answer.

    kind: `question`; `cloze`, a sentence with a blank; `continuation`, the beginning of a text whose next words are the
    answer. group: what it is about, and stays together: an author, a target, an edge. topic: the source's own word for
    its kind, such as "role play". paraphrased_questions ask for the same answer; paraphrased_answers say it in other
    words; wrong_answers are as many for every item of a file. options: the right answer among others, as a test shows
    them. at: file, line and row, for an error.
    """

    id: str
    kind: str = "question"
    text: str = ""
    question: str = ""
    answer: str = ""
    group: str = ""
    topic: str = ""
    paraphrased_questions: tuple[str, ...] = ()
    paraphrased_answers: tuple[str, ...] = ()
    wrong_answers: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    at: str = field(default="", compare=False)

    @property
    def said(self) -> tuple[str, str]:
        """What the item says, whatever the case and the spaces: two items with the same are one fact."""
        whole = self.text or self.question
        return " ".join(whole.casefold().split()), " ".join(self.answer.casefold().split())


@dataclass(frozen=True)
class Benchmark:
    """A source as its protocol parts it.

    forget: to train on and then forget; retain: to train on and keep; heldout: never trained on, and of the same kind
    as `forget`, so that the two can be compared; probes: what is asked, by name (the loader of each source lists them).
    notes: what is odd about the files or not in them, to be read before a number is trusted. UserError where an id
    comes twice in a set, or two of forget, retain and heldout share an item.
    """

    name: str
    forget: tuple[Item, ...] = ()
    retain: tuple[Item, ...] = ()
    heldout: tuple[Item, ...] = ()
    probes: dict[str, tuple[Item, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        apart = {"forget": self.forget, "retain": self.retain, "heldout": self.heldout}
        assert not apart.keys() & self.probes.keys(), "a probe has the name of a set"
        for name, items in (apart | self.probes).items():
            ids = [item.id for item in items]
            if len(ids) != len(set(ids)):
                raise UserError(f"{self.name}: an id comes twice in {name}; give every item its own")
        said: dict[tuple[str, str], tuple[str, Item]] = {}
        for name, items in apart.items():
            for item in items:
                other, earlier = said.setdefault(item.said, (name, item))
                if other != name:
                    what = "field 'text'" if item.kind == "text" else "fields 'question' and 'answer'"
                    raise UserError(
                        f"{item.at}: {what}: say what {earlier.at} says, which is in {other}, and this one in {name}; "
                        "the sets must not overlap: remove it from one of the two"
                    )

    @property
    def counts(self) -> dict[str, int]:
        """How many items each set has, the empty ones left out."""
        sets = {"forget": self.forget, "retain": self.retain, "heldout": self.heldout, **self.probes}
        return {name: len(items) for name, items in sets.items() if items}


def with_wrong_answers(items: Iterable[Item]) -> tuple[Item, ...]:
    """Return the items that have wrong answers: those of which a truth ratio can be asked."""
    return tuple(item for item in items if item.wrong_answers)


def to_dataset(items: Sequence[Item]) -> "Dataset":
    """Return items as a `datasets.Dataset` in memory: one row an item, one typed column a field."""
    from datasets import Dataset, Features, List, Value  # here, because importing it takes seconds

    columns = {part.name: Value("string") if part.type is str else List(Value("string")) for part in fields(Item)}
    return Dataset.from_dict(
        {name: [getattr(item, name) for item in items] for name in columns}, features=Features(columns)
    )
