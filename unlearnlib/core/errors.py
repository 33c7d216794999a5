"""Errors a user can mend: one clear line that says what is wrong and what to do."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Wrong input from the user; the message is one line and names the mend."""

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows in a notebook: the message says all, and its traceback is of code that
        the reader did not write."""
        return [f"{type(self).__name__}: {self}"]


def nearest(word: str, choices: Iterable[str]) -> str:
    """Return a hint that names the valid choice nearest to `word`, or lists the choices when none is near."""
    choices = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from: {', '.join(choices)}"
