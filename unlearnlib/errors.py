"""Errors a user can mend: one clear line that says what is wrong and what to do."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input from the user; the message is one line and names the mend."""


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a hint that names the valid choice nearest to `word`, or lists the choices when none is near."""
    choices = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(choices)}"
