"""How somebody's own model is made to forget: a way by name, a stop that needs no questions, and where it ends."""

import copy
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd
import torch

from unlearnlib.core import definitions
from unlearnlib.core.errors import UserError, nearest
from unlearnlib.experiment.own import BASE, REFERENCE, START, WHEN_NOTHING_IS_RECORDED, Own, digest
from unlearnlib.experiment.variants import Variant
from unlearnlib.measures import evaluation
from unlearnlib.methods import equal_forgetting, named
from unlearnlib.methods.path import Path
from unlearnlib.methods.request import FIELDS
from unlearnlib.methods.trained import Steps, mean_loss
from unlearnlib.methods.trained import trained as path_of_steps
from unlearnlib.models.layers import resolve

UNLEARNED, REPAIRED = "unlearned", "repaired"
# Where the step is looked for, as L2 norms: there is no telling what model comes.
SEARCH = {"smallest": 0.05, "factor": 1.5, "largest": 1000.0, "tolerance": 0.02, "start": 1.0}
EPOCHS = ("first", "all")  # whose recorded gradients are kept: apart the first epoch's, and the sum of all others
STOPS = (REFERENCE, "unseen", BASE)


def way(
    own: Own,
    name: str = "preconditioned",
    layers: str = "embedding",
    epochs: str = "all",
    options: Mapping = MappingProxyType({}),
) -> Variant:
    """Return a way to unlearn: a method's name (unlearnlib.methods.named.METHODS), the layers it may change, the epochs
    whose recorded gradients it takes (or until whose end it takes back what was added), where it takes any (EPOCHS),
    and other options by name.

    For a model that was fine-tuned before live ascent stands in for ways that need what training leaves (recorded
    gradients, second moments, what the optimizer added). UserError for an
    unknown name, for layers that the model does not have, and for a method that needs what was not given.
    """
    if epochs not in EPOCHS:
        raise UserError(f"epochs_of_gradients is {epochs!r}: {nearest(str(epochs), EPOCHS)}")
    absent = Variant(UNLEARNED, name).known.uses - own.what_there_is
    if absent & {"record", "second_moments", "watched"} and own.given.already_fine_tuned:
        print(f"nothing was recorded in training: {WHEN_NOTHING_IS_RECORDED!r} stands in for {name!r}")
        name = WHEN_NOTHING_IS_RECORDED
    elif absent:
        able = [one for one in named.METHODS if Variant("", one).known.uses <= own.what_there_is]
        raise UserError(f"the way {name!r} needs {FIELDS[min(absent)]}, not to be had here: take {', '.join(able)}")
    method = Variant(UNLEARNED, name).known
    known = {option: epochs for option in ("epochs", "until") if option in method.options}
    found = inspect.signature(method.unlearn).parameters
    asked = [one for one in method.options if found[one].default is inspect.Parameter.empty and one not in options]
    if asked:
        raise UserError(f"the way {name!r} must be told its {asked[0]!r}: give options, such as {{{asked[0]!r}: ...}}")
    if wrong := [one for one in options if one not in method.options or one == "layers"]:
        raise UserError(f"the way {name!r} takes no option {wrong[0]!r}: {nearest(wrong[0], method.options)}")
    if "layers" in method.options:
        resolve(own.loaded, layers, ())
    elif layers != "all":
        raise UserError(f"the way {name!r} changes the whole model, not {layers!r} alone: give layers 'all'")
    return Variant(UNLEARNED, name, layers, {**known, **options})


@dataclass(frozen=True)
class Level:
    """How improbable the texts to forget are to become: `loss`, their mean -log p a token (nats), and `of` whom it
    is."""

    loss: float
    of: str


def level_of(own: Own, stop: str | float = "") -> str | float:
    """Return whose level a `stop` means (see level), or its perplexity; UserError where there is none such."""
    if not isinstance(stop, str):
        if not 1 < stop < float("inf"):
            raise UserError(f"stop is {stop}: give a perplexity, above 1, or one of {', '.join(STOPS)}")
        return stop
    there = {REFERENCE: REFERENCE in own.models, "unseen": bool(own.unseen), BASE: BASE in own.models}
    able = [name for name in STOPS if there[name]]
    if not able:
        raise UserError(
            "how improbable must the texts become? With a model that was fine-tuned before give unseen_file, texts of "
            "the same kind that it never read, or as stop a perplexity, such as 50"
        )
    if stop and stop not in able:
        raise UserError(f"stop is {stop!r}, which cannot be had here: {nearest(stop, able)}")
    return stop or able[0]


def level(own: Own, stop: str | float = "") -> Level:
    """Return the level at which unlearning stops, for which no questions are needed.

    stop: `retrained`, that of the retrained model on the texts to forget; `unseen`, that of the fine-tuned model on
    texts that it never read (right where these are of the same kind); `base`, that of the base model on the texts to
    forget (further than needed: it does not know their kind either); "": the first of these that there is; a number: a
    perplexity of one's own. UserError where none can be had.
    """
    of = level_of(own, stop)
    if not isinstance(of, str):
        return Level(math.log(of), "given")
    asked, model = (own.unseen, START) if of == "unseen" else (own.forget, of)
    ids = [own.tokens[one.id] for one in asked]
    key = {"model": own.identity(model), "texts": digest(ids), "batch": own.profile.evaluation_batch}

    def compute() -> pd.DataFrame:
        return pd.DataFrame({"loss": [loss_of(own.model(model), ids, own.profile.evaluation_batch)]})

    return Level(float(own.table("level", key, _LOSS, compute)["loss"].iloc[0]), of)


_LOSS = "unlearnlib.experiment.own_way:loss_of"


def loss_of(model, ids: Sequence[Sequence[int]], batch_size: int) -> float:
    """Return the mean over texts of each text's mean -log p a token (nats; lower is likelier)."""
    return float(evaluation.text_nll(model, ids, batch_size).mean())


def path(own: Own, variant: Variant) -> Path:
    """Return the path of a way to unlearn; UserError as Variant.path."""
    return variant.path(own.request.having(keep=own.kept(variant.identity)))


def stopped(own: Own, variant: Variant, where: Level) -> equal_forgetting.Calibration:
    """Return the first effort found at which the texts to forget are as improbable as the `where` says; its `value` is
    their mean loss there (nats a token).

    0 where they are from the start. Where the level is not reached it is the effort at which they are least probable.
    """
    key = {**own.asked_for, "way": variant.identity, "loss": where.loss, "search": SEARCH}
    key |= {"batch": own.profile.evaluation_batch}
    found = own.table("stop", key, _CROSSING, lambda: crossing(own, variant, where.loss))
    *evaluated, last = found[["effort", "loss", "reached"]].itertuples(index=False, name=None)
    looked = tuple((float(effort), float(loss)) for effort, loss, _ in evaluated)
    return equal_forgetting.Calibration(float(last[0]), float(last[1]), bool(last[2]), looked)


_CROSSING = "unlearnlib.experiment.own_way:crossing"


def crossing(own: Own, variant: Variant, loss: float) -> pd.DataFrame:
    """Return what `stopped` finds: a row (effort, loss, reached) for every effort looked at, and the found one last."""
    walked, ids = path(own, variant), [own.tokens[name] for name in own.forgotten]

    def known(effort: float) -> float:
        with walked.at(effort) as model:
            return -loss_of(model, ids, own.profile.evaluation_batch)  # a stop is where what is measured falls

    if walked.stops is not None:
        found = equal_forgetting.first_stop(known, -loss, walked.stops)
    elif (start := known(0.0)) <= -loss:
        found = equal_forgetting.Calibration(0.0, start, True, ((0.0, start),))
    else:
        found = equal_forgetting.first_crossing(known, -loss, **SEARCH)
    rows = [(effort, -value, False) for effort, value in found.evaluated]
    rows.append((found.step_size, -found.value, found.reached))
    return pd.DataFrame(rows, columns=["effort", "loss", "reached"])


def stop_in_words(own: Own, variant: Variant, where: Level, found: equal_forgetting.Calibration) -> str:
    """Return what was asked for and what was found, as a sentence."""
    of = {REFERENCE: "the retrained model finds them", "unseen": "the model finds texts that it never read"}
    of |= {BASE: "the base model finds them", "given": "you ask for"}
    asked = f"as improbable as {of[where.of]} (perplexity {math.exp(where.loss):.4g}, by the mean over texts)"
    if not found.reached:
        return f"Not reached: {asked}. The least probable that they become is {math.exp(found.value):.4g}."
    if not found.step_size:
        return f"They are {asked} from the start: there is nothing to unlearn."
    effort = f"{found.step_size:.4g} ({path(own, variant).unit})"
    return f"They are {asked} after an effort of {effort}, found in {len(found.evaluated)} looks."


@dataclass(frozen=True)
class End:
    """One model: a name of Own.models, or where a way to unlearn ends after `effort`, and after so many optimizer steps
    of `repair` on the texts to keep. `share`: the effort over that of the stop, which is only told."""

    name: str
    variant: Variant | None = None
    effort: float = 0.0
    repair: int = 0
    share: float = 1.0

    @property
    def way(self) -> dict:
        """Return what of it is no model's name, as plain data."""
        if self.variant is None:
            return {}
        return {"way": self.variant.identity, "effort": self.effort, "repair": self.repair}


def check_asked(own: Own, stop: str | float, repair_steps: int, share: float = 1.0) -> None:
    """Raise UserError for a stop that cannot be had here, for a number of repair steps below 0, and for a share of the
    step to the stop that is not above 0."""
    level_of(own, stop)
    if not 0 < share < math.inf:
        raise UserError(f"share_of_step is {share}: give a number above 0; 1 goes as far as the stop, 1.25 further")
    if repair_steps < 0:
        raise UserError(f"repair_steps is {repair_steps}: give a whole number from 0 on")


def ends(own: Own, variant: Variant, effort: float, repair_steps: int = 0, share: float = 1.0) -> list[End]:
    """Return what is compared: the models that there are, the unlearned one, after a `share` of the `effort`, and with
    `repair_steps` the repaired one."""
    found = [*(End(name) for name in own.models), End(UNLEARNED, variant, share * effort, share=share)]
    return [*found, End(REPAIRED, variant, share * effort, repair_steps, share)] if repair_steps else found


def opened(own: Own, end: End) -> AbstractContextManager[torch.nn.Module]:
    """Open a model; where a way ends it is the starting model itself, changed, and changed back when the block ends."""
    if end.variant is None:
        return _as_it_is(own.model(end.name))
    walked = path(own, end.variant)
    if not end.repair:
        return walked.at(end.effort)
    with walked.at(end.effort) as model:
        moved = copy.deepcopy(model)

    def loss(model, forget, retained) -> torch.Tensor:
        return mean_loss(model, retained)

    how = repair_of(own, end)
    request = own.request.having(keep=own.kept({**end.way, "how": vars(how), "code": definitions.code(_OPENED)}))
    return path_of_steps(request, loss, how, request.retain, "repair", lambda: moved).at(float(end.repair))


def repair_of(own: Own, end: End) -> Steps:
    """Return how a repair trains: by half the rate of the fine-tuning, with one stop, at its end."""
    return Steps(end.repair, end.repair, own.given.batch_size, own.given.learning_rate / 2)


_OPENED = "unlearnlib.experiment.own_way:opened"


@contextmanager
def _as_it_is(model: torch.nn.Module) -> Iterator[torch.nn.Module]:
    yield model
