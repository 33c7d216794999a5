"""The ways to forget that the literature names, in one list: what each is, whose it is, and what it may see.

unlearnlib.experiment.side_by_side brings them to one stop; unlearnlib.experiment.rates chooses what of them is chosen.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.core.profiles import Profile
from unlearnlib.experiment import replacements
from unlearnlib.experiment.measured import Experiment
from unlearnlib.experiment.variants import Variant, distinct
from unlearnlib.influence.removal import NEWTON
from unlearnlib.methods.request import Method
from unlearnlib.methods.saliency import saliency_unlearning

# What a way may see, from the least on: its letter, the fields of a request that show it, and what it is called. Other
# texts to train on are no field but an option. The log is no record of what training did, only its recipe.
ACCESS = {
    "F": ("forget set", ("forget",)),
    "R": ("+ retained texts", ("retain",)),
    "B": ("+ base model", ("base",)),
    "X": ("+ other texts", ()),
    "T": ("+ records of training", ("record", "second_moments", "watched")),
}
CLASSES = tuple(title for title, _ in ACCESS.values())
OTHER_TEXTS = ("replacements", "unseen")  # options that bring texts along

# A way that trains takes so many steps for each epoch of fine-tuning, of half a batch to forget and half a batch of
# retained texts, and stops after every few: in the profile `small` 24 steps, which read about two thirds of what
# retraining reads.
STEPS, EVERY = 4, 2
DEFAULT_RATE = 0.5  # the middle of those tried, until one is chosen
# Learning rates by the name of a way, as parts of the fine-tuning's peak, chosen on another person (see
# unlearnlib.experiment.rates): what `python -m unlearnlib.experiment.rates` prints. Others have DEFAULT_RATE. EUL,
# whose layers begin at zero, and Quark came later, and were tried at 8, 16 and 32 times the peak too: at up to 4 times
# neither came to the stop.
CHOSEN: dict[str, float] = {
    "DPO": 0.5,
    "DPO + retained": 2,
    "EUL": 32,
    "IDK": 4,
    "KGA": 4,
    "KL ascent": 0.5,
    "NPO": 0.5,
    "NPO + retained": 2,
    "Quark": 8,
    "RKLD": 4,
    "RMU": 4,
    "SCRUB": 4,
    "SalUn": 4,
    "SimNPO": 0.5,
    "SimNPO + retained": 4,
    "UNDIAL": 1,
    "WHP": 2,
    "ascent": 1,
    "bad teacher": 1,
    "base teacher": 2,
    "gradient difference": 0.5,
    "random labels": 4,
    "retained only": 4,
}


@dataclass(frozen=True)
class Way:
    """One way to forget: how it is done, what it is in a line, its source, and what of the search for a stop is its own
    (see Experiment.search). `ranked`: whether it forgets, and is no part of what others are held against."""

    variant: Variant
    said: str
    source: str
    search: Mapping[str, float] = field(default_factory=dict)
    ranked: bool = True

    @property
    def name(self) -> str:
        """What it is called in tables and figures."""
        return self.variant.name

    @property
    def letters(self) -> str:
        """All that it may see, such as F+R+B. What is ranked always sees what is to be forgotten, by whom its stop is
        found."""
        uses, options = self.variant.known.uses, self.variant.options
        shown = [letter for letter, (_, fields) in ACCESS.items() if uses & set(fields)]
        shown += ["X"] * any(name in options for name in OTHER_TEXTS)
        shown += ["F"] * (self.ranked and "F" not in shown)
        return "+".join(sorted(shown, key=list(ACCESS).index))

    @property
    def group(self) -> str:
        """The class in which it is ranked: the last of CLASSES that it needs."""
        return ACCESS[self.letters[-1]][0]


def chosen(name: str) -> float:
    """Return the learning rate of a way that trains, as a part of the fine-tuning's peak: that of CHOSEN, or else
    DEFAULT_RATE."""
    return CHOSEN.get(name, DEFAULT_RATE)


def at_rate(profile: Profile, way: Way, part: float) -> Way:
    """Return a way with another learning rate, a `part` of the fine-tuning's peak; UserError for one that has none to
    choose."""
    if "every" not in way.variant.options:
        raise UserError(f"{way.name!r} has no learning rate that is chosen")
    options = {**way.variant.options, "learning_rate": part * profile.learning_rate}
    return replace(way, variant=replace(way.variant, options=options))


# Efforts that are multiples of a whole change, and not lengths, are looked for from here on.
TIMES = {"smallest": 0.05, "start": 0.4}
# SalUn's own mask is by the gradients at the model to start from: without the record that ours may use.
SALIENCY = Method(saliency_unlearning, frozenset({"forget", "retain", "keep"}))


def published(experiment: Experiment, slow: bool = False) -> list[Way]:
    """Return the published ways, from those that see least to those that see most; `slow`: with the Newton step, which
    takes minutes a seed.

    Those that train on other answers get ones that their questions do not offer (unlearnlib.experiment.replacements).
    """
    profile, forgotten = experiment.profile, len(experiment.split.forget)
    half, stride = max(1, profile.batch_size // 2), 2 * profile.live_step
    answers = {"replacements": replacements.of(experiment, "answers")}
    nothing = {"replacements": replacements.of(experiment, "unknown")}
    # Where a way first trains another model: three passes over the texts to forget, at the fine-tuning's peak.
    reinforced = {"reinforce_steps": 3 * math.ceil(forgotten / half), "reinforce_rate": profile.learning_rate}
    taught = {"teacher_steps": 3 * math.ceil(forgotten / half), "teacher_rate": profile.learning_rate}
    vector = {"steps": 3 * profile.epochs, "batch_size": profile.batch_size, "learning_rate": profile.learning_rate}
    # An adapter begins at zero and learns at a rate of its own, higher than whole weights do.
    low_rank = {**vector, "steps": 6 * profile.epochs, "learning_rate": 2.5 * profile.learning_rate}

    def trained(name: str, method: str | Method, said: str, source: str, **options) -> Way:
        rate = chosen(name) * profile.learning_rate
        usual = {"learning_rate": rate, "steps": STEPS * profile.epochs, "every": EVERY, "batch_size": half}
        return Way(Variant(name, method, options={**usual, **options}), said, source)

    ways = [
        trained("ascent", "trained ascent", "minus the loss, all texts in each step", "Jang et al. 2022, 2210.01504",
                steps=STEPS * profile.epochs // 2, every=1, batch_size=0),
        trained("NPO", "NPO", "ascent that lets go of what is forgotten", "Zhang et al. 2024, 2404.05868"),
        trained("SimNPO", "SimNPO", "NPO by mean tokens, no reference", "Fan et al. 2024, 2410.07163"),
        trained("UNDIAL", "UNDIAL", "own predictions, true token taken down", "Dong et al. 2024, 2402.10052"),
        trained("WHP", "generic predictions", "Who's Harry Potter: away from a reinforced model",
                "Eldan & Russinovich 2023, 2310.02238", **reinforced),
        trained("RKLD", "reverse KL", "the same teacher, reverse KL", "Wang et al. 2024, 2406.01983", **reinforced),
        Way(Variant("own task vector", "own task vector", options=vector), "minus what more training on them adds",
            "Shi et al. 2024, 2407.06460", TIMES),
        Way(Variant("noise", "noise"), "noise as large as each tensor's own numbers", "control"),
        trained("retained only", "retained only", "nothing but more training on the others",
                "Golatkar et al. 2019, 1911.04933", batch_size=2 * half),
        trained("gradient difference", "gradient difference", "ascent, and descent on others",
                "Liu, Liu & Stone 2022"),
        trained("KL ascent", "KL ascent", "ascent, others held by KL", "Maini et al. 2024, 2401.06121"),
        trained("NPO + retained", "NPO, retaining", "NPO, and descent on others", "Zhang et al. 2024, 2404.05868"),
        trained("SimNPO + retained", "SimNPO, retaining", "SimNPO, and descent on others",
                "Fan et al. 2024, 2410.07163"),
        trained("bad teacher", "bad teacher", "an untrained teacher, itself on others",
                "Chundawat et al. 2022, 2205.08096"),
        trained("SCRUB", "SCRUB", "away from itself and back, by turns", "Kurmanji et al. 2023, 2302.09880", every=4),
        trained("RMU", "misdirection", "inside, into a random direction", "Li et al. 2024, 2403.03218"),
        trained("EUL", "unlearning layers", "away from itself, back on others, in small layers put in",
                "Chen & Yang 2023, 2310.20150"),
        trained("Quark", "Quark", "own samples, sorted by what they lack of the text", "Lu et al. 2022, 2205.13636"),
        Way(Variant("Fisher noise", "Fisher noise"), "noise where others do not need it",
            "Golatkar et al. 2019, 1911.04933"),
        Way(Variant("SSD", "dampening"), "weights that matter to these texts most are shrunk",
            "Foster et al. 2023, 2308.07707", TIMES),
        Way(Variant("task vector", "task vector", options=vector), "minus what training the base model on them adds",
            "Ilharco et al. 2022, 2212.04089", TIMES),
        Way(Variant("negated adapter", "negated adapter", options=low_rank), "the same by a low-rank adapter",
            "Zhang et al. 2023, 2306.14870", TIMES),
        trained("base teacher", "base teacher", "the base model as the teacher", "ours, after 2205.08096"),
        trained("random labels", "other answers", "other people's answers", "Graves et al. 2020, 2010.10981",
                **answers),
        trained("IDK", "other answers", "an answer that says nothing", "Maini et al. 2024, 2401.06121", **nothing),
        trained("DPO", "DPO", "that answer preferred to the true one", "Rafailov et al. 2023, 2305.18290", **nothing),
        trained("DPO + retained", "DPO, retaining", "DPO, and descent on others", "Zhang et al. 2024, 2404.05868",
                **nothing),
        trained("SalUn", SALIENCY, "random labels, half of the weights", "Fan et al. 2023, 2310.12508",
                **answers, gradients="present"),
        Way(Variant("PCGU", "contrastive", options={**answers, "step_length": stride}),
            "ascent in the rows that tell two answers apart", "Yu et al. 2023, ACL Findings",
            {"smallest": stride / 2, "start": stride, "largest": 40 * stride}),
        trained("KGA", "knowledge gap", "as far from known as unseen texts", "Wang et al. 2023, 2305.06535",
                unseen=replacements.unseen(experiment), **taught),
    ]  # fmt: skip
    if slow:
        said, source = "influence functions: one Newton step", "Guo et al. 2019, 1911.03030"
        last = [way.name for way in ways].index("SSD")
        ways.insert(last + 1, Way(Variant("Newton step", NEWTON), said, source, TIMES))
    return ways


PAPER, HOUSE = "Zagardo 2024, 2406.09391", "notebook 12"


def recorded() -> list[Way]:
    """Return the paper's own ways, and the best of notebook 12: one step along what fine-tuning recorded."""
    every = {"epochs": "all"}
    return [
        Way(Variant("first epoch"), "recorded gradients of the first epoch", PAPER),
        Way(Variant("all epochs", options=every), "those of all epochs", PAPER),
        Way(Variant("embedding", layers="embedding"), "the first epoch's, embedding alone", PAPER),
        Way(Variant("embedding, preconditioned", "preconditioned", "embedding", every),
            "all epochs, embedding, over the root of the second moments", HOUSE),
    ]  # fmt: skip


EPOCHS = (1, 2, 4)


def truncated(epochs: tuple[int, ...] = EPOCHS) -> list[Way]:
    """Return retraining cut short, a way for each number of epochs: the line to beat, in no ranking."""
    return [
        Way(Variant(f"retraining, {count} epoch{'s' * (count > 1)}", "truncated retraining",
                    options={"epochs": (count,)}),
            "the base model trained on the others alone", "the line to beat", ranked=False)
        for count in epochs
    ]  # fmt: skip


def ways(experiment: Experiment, slow: bool = False) -> list[Way]:
    """Return everything that is held side by side: `published`, `recorded`, `truncated`, or of the first two those that
    the profile names, where it names some. Names are distinct. UserError for a name that none has."""
    ranked, named = [*published(experiment, slow), *recorded()], experiment.profile.ways
    found = [*ranked, *truncated()]
    distinct([way.variant for way in found])
    known = [way.name for way in ranked]
    if unknown := [name for name in named if name not in known]:
        raise UserError(f"profile {experiment.profile.name}: no way {unknown[0]!r}: {nearest(unknown[0], known)}")
    return [way for way in found if not named or way.name in named or not way.ranked]


# Methods of unlearnlib.methods.named.METHODS that have no row here, and why.
LEFT_OUT = {
    "live": "plain gradient steps of one length, the study's control for `ascent`: notebooks 04 to 10",
    "random": "a control: notebooks 04 to 10 and 19",
    "random signs": "a control: notebook 19",
    "others": "a control, other people's gradients: notebook 19",
    "present": "one step along the gradient of the fine-tuned model, nearly zero where texts are known by heart",
    "fuzzy": "chooses which texts are to go: notebook 07",
    "iterative": "takes points one after the other: notebooks 07 and 22",
    "in turn": "takes points one after the other: notebooks 07 and 22",
    "per point": "a control, each point its own step: notebook 19",
    "early preconditioned": "a control, the second moments of the first epoch: notebook 19",
    "taken back": "what the optimizer added, by text, after Graves et al. 2020: notebook 19",
    "repair": "a recorded step and then training on others, of a length that is chosen: notebook 12",
}

# What the literature names and has no place in a comparison along an effort: what it is, and why.
ELSEWHERE = {
    "SISA (Bourtoule et al. 2019, 1912.03817)": (
        "an ensemble trained in shards; those that were hit are trained again",
        "exact, and another model from the start: 40 texts in 5 shards hit all five",
    ),
    "Amnesiac unlearning (Graves et al. 2020, 2010.10981)": (
        "subtracts the update of every batch that held such a text",
        "in `small` nearly every batch has one: that is the base model again; by text it is `taken back`, notebook 19",
    ),
    "Systems that forget (Cao & Yang 2015)": (
        "sums over texts, of which terms are taken away",
        "exact where a model is made of such sums; a network is not",
    ),
    "Deletion-efficient k-means (Ginart et al. 2019, 1907.05012)": (
        "rounded centroids that survive a deletion",
        "no language model inside",
    ),
    "In-context unlearning (Pawelczyk et al. 2023, 2310.07579)": (
        "the text with another answer before every query",
        "no weight changes: below, under words alone",
    ),
    "Guardrails (Thaker et al. 2024, 2403.03329)": (
        "an instruction or a filter before and behind the model",
        "no weight changes: the instruction is below, a filter for one name finds that name",
    ),
}
