"""Why a job would run again: what it depends on now, held against what it depended on when it last finished."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from unlearnlib.core import fingerprint
from unlearnlib.engine import drawing
from unlearnlib.engine.plan import Job

SHORT = 60  # characters of a value that are shown as they are


def summary(parts: Mapping[str, Any]) -> dict:
    """Return what a stamp keeps of a job's parts: short values as they are, of others a hash, two levels deep."""
    return {name: _known(value) for name, value in parts.items()}


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _short(inner) for name, inner in value.items()}
    if isinstance(value, list):  # cells: by content, wherever they stand
        return {fingerprint.combine({"": inner}): _first_line(inner) for inner in value}
    return _short(value)


def _short(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    return value if len(text) <= SHORT else fingerprint.combine({"": value})


def _first_line(cell: Any) -> str:
    lines = [line for line in str(cell).splitlines() if line.strip() and not line.startswith("#")]
    return (lines or [""])[0][:SHORT]


def explain(jobs: Iterable[Job]) -> str:
    """Return, for every job, whether it is up to date, and if not, what changed since it last finished.

    Of a notebook that is up to date: which figures would be drawn anew without running it, and whether its text would.
    """
    lines = []
    for job in jobs:
        reasons = why(job)
        drawn = [] if reasons else drawing.stale(job)
        lines.append(f"{job}: {'would run again' if reasons else 'up to date'}")
        lines += [f"  {reason}" for reason in reasons]
        lines += [f"  its figure would be drawn anew: {name}" for name in drawn]
        if not reasons and drawing.old_prose(job):
            lines.append("  its text would be renewed")
    return "\n".join(lines)


def why(job: Job) -> list[str]:
    """Return why a job would run, a line a reason; none where it is up to date."""
    if job.is_done():
        return []
    stamps = sorted(job.stamps(), key=lambda path: path.stat().st_mtime_ns)
    if not stamps:
        return ["it has not run to its end here, its last run was interrupted, or what it left was deleted"]
    try:
        last = json.loads(stamps[-1].read_text(encoding="utf-8"))
        if stamps[-1] == job.stamp:
            return [f"{name}: gone, or no longer what it wrote" for name in job.lost(last)]
        before, now = last["parts"], summary(job.parts())
    except (OSError, ValueError, KeyError):
        return ["what its last run left cannot be read"]
    found = [line for part in {**before, **now} for line in _differences(part, before.get(part), now.get(part))]
    return found or ["the order of its cells changed, or a cell stands twice"]


def _differences(part: str, before: Any, now: Any) -> list[str]:
    if before == now:
        return []
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return [f"{part}: {_change(before, now)}"]
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if part == "cells":
        new, gone = ([side[name] for name in names if name in side] for side in (now, before))
        return [f"a cell is new: {line}" for line in new] + [f"a cell is gone: {line}" for line in gone]
    return [f"{part}, {name}: {_change(before.get(name), now.get(name))}" for name in names]


def _change(before: Any, now: Any) -> str:
    if before is None or now is None:
        return "new" if before is None else "gone"
    hashed = any(isinstance(value, str) and len(value) in (16, 64) and value.isalnum() for value in (before, now))
    return "changed" if hashed or isinstance(before, Mapping | list) else f"{before!r} became {now!r}"
