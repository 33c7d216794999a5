"""Do the data fit the model? Asked before anything is trained: what does not fit would only show after it.

The gradients of single texts must be exact in this family of models. A text may be longer than the profile or the model
allows, and an answer may end inside a token of the text, where its probability cannot be told from that of what follows
it.
"""

from unlearnlib.core import paths, room
from unlearnlib.core.profiles import Profile
from unlearnlib.data.examples import ask_for, encode
from unlearnlib.data.split import Split
from unlearnlib.gradients.per_example import check_exact
from unlearnlib.models import loading
from unlearnlib.models.layers import parameter_bytes

_fitting: set[tuple] = set()  # what has been checked already: a job trains several models on the same texts


def check(profile: Profile, split: Split, model, tokenizer) -> None:
    """Raise UserError, naming file, line, id and field, unless every text that this split has fits model and profile.

    All paraphrases and wrong answers of all people count, also those that only another seed or method would read.
    """
    loading.check_positions(model, profile.max_tokens)
    asked = (profile.base_model, profile.max_tokens, split)
    check_room(profile, model)
    if asked in _fitting:
        return
    check_exact(model)
    folder = paths.data_folder(profile.data)
    encode(tokenizer, split, profile.max_tokens, folder)
    for record in (*split.heldout, *split.retain, *split.never_seen, *split.remaining):
        for number in range(len(record.paraphrases)):
            ask_for(tokenizer, record, number, profile.max_tokens, folder)
    _fitting.add(asked)


def check_room(profile: Profile, model) -> None:
    """Raise UserError where the disk or the memory is too small for a training of this model with its record."""
    size = parameter_bytes(model)
    room.give_back()
    needed = room.on_disk(size, profile.epochs), room.in_memory(size, profile.epochs)
    room.check("a training of this model with its record", *needed)
