"""The sources of other data, by name: `load("tofu", folder)`, or from the hub."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data import knowundo, muse, pii, pistol, plain_text, reading, rwku, tofu
from unlearnlib.data.items import Benchmark


class Source(NamedTuple):
    """How a source is loaded, and the name of its data set on the hub (by the corpus, where it has several)."""

    load: Callable[..., Benchmark]
    hub: str | dict[str, str] | None


SOURCES = {
    "tofu": Source(tofu.load, tofu.HUB),
    "muse": Source(muse.load, muse.HUB),
    "rwku": Source(rwku.load, rwku.HUB),
    "knowundo": Source(knowundo.load, knowundo.HUB),
    "pistol": Source(pistol.load, pistol.HUB),
    "pii": Source(pii.load, pii.HUB),
    "text": Source(plain_text.load, plain_text.HUB),
}


def load(name: str, where: str | Path, **options) -> Benchmark:
    """Return a source, parted by its protocol into forget, retain, heldout and probes.

    where: the folder of the original's files, "hub" for its data set there (through `datasets`), or "hub:owner/name".
    options: those of the source's own `load`. UserError, one line, for an unknown source, option or folder, and for a
    wrong file: file, line, row, field, and how to mend it.
    """
    if name not in SOURCES:
        raise UserError(f"no source {name!r}: {nearest(name, SOURCES)}")
    source = SOURCES[name]
    known = list(inspect.signature(source.load).parameters)[1:]
    for option in options:
        if option not in known:
            raise UserError(f"{name} has no option {option!r}: {nearest(option, known)}")
    hub = source.hub
    if isinstance(hub, dict):
        hub = hub.get(options.get("corpus", next(iter(hub))))
    return source.load(reading.place(where, hub), **options)
