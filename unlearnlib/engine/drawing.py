"""Draw figures anew from what they were drawn from, without running their notebooks.

A figure whose drawing changed is stale although its notebook is not. Here it is drawn from the kept data, and put in
the place of the old one in the executed notebook; so is prose that was changed in the notebook's source.
"""

import base64
import importlib
import json
import os
import pickle
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from unlearnlib.core import definitions, fingerprint, paths
from unlearnlib.engine import commandline, plan, worker
from unlearnlib.engine.plan import Job


def stale(job: Job) -> list[str]:
    """Return the names of a finished notebook's figures that the present code would draw otherwise, sorted."""
    found = []
    for path in job.drawn() if job.notebook else ():
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            if definitions.code(record["draw"]) != record["code"]:
                found.append(path.stem)
    return found


def old_prose(job: Job) -> bool:
    """Tell whether the executed copy of a notebook has other text cells than its source."""
    if not job.notebook or not job.executed.is_file():
        return False
    source, executed = (json.loads(path.read_text(encoding="utf-8")) for path in (job.source, job.executed))
    return _prose(source) != _prose(executed)


def to_renew(jobs: Iterable[Job]) -> list[Job]:
    """Return the finished notebooks of which a figure or the prose is out of date."""
    return [job for job in jobs if job.notebook and job.is_done() and (stale(job) or old_prose(job))]


def renew(job: Job) -> list[str]:
    """Draw the stale figures of a finished notebook and renew its prose; return the names of the figures."""
    from unlearnlib.figures import looks, saving

    looks.style()
    pictures: dict[str, str] = {}
    names = stale(job)
    for name in names:
        record = pickle.loads((job.folder / "drawn" / f"{name}.pickle").read_bytes())
        module, _, function = record["draw"].partition(":")
        before = (job.folder / "drawn" / f"{name}.png").read_bytes()
        figure = getattr(importlib.import_module(module), function)(*record["data"], **record["options"])
        path = saving.save_both(figure, job.folder, name)
        pictures[_encoded(before)] = _encoded(path.read_bytes())
    executed = json.loads(job.executed.read_text(encoding="utf-8"))
    source = json.loads(job.source.read_text(encoding="utf-8"))
    for cell in executed["cells"]:
        for output in cell.get("outputs", ()):
            shown = "".join(output.get("data", {}).get("image/png", "")).replace("\n", "")
            if shown in pictures:
                output["data"]["image/png"] = pictures[shown]
    executed["cells"] = with_prose_of(source["cells"], executed["cells"])
    _write(job.executed, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")
    stamp = json.loads(job.stamp.read_text())
    for name in names:
        path = job.folder / "figures" / f"{name}.png"
        stamp["digests"][path.relative_to(paths.runs()).as_posix()] = fingerprint.files(path)
    worker.write(job.stamp, stamp)
    for name in names:  # last: until here the figure counts as stale
        path = job.folder / "drawn" / f"{name}.json"
        label = json.loads(path.read_text())["draw"]
        worker.write(path, {"draw": label, "code": definitions.code(label)})
    return names


def with_prose_of(source: Sequence[dict], executed: Sequence[dict]) -> list[dict]:
    """Return the executed code cells, among the text cells of the source. Both have the same code cells."""
    waiting = [cell for cell in executed if cell["cell_type"] == "code"]
    result = []

    def take(wanted: str) -> None:
        """Take the executed cells up to the one with this source: what was injected comes before it."""
        places = [number for number, cell in enumerate(waiting) if "".join(cell["source"]) == wanted]
        taken = places[0] + 1 if places else 0
        result.extend(waiting[:taken])
        del waiting[:taken]

    for cell in source:
        if cell["cell_type"] == "code":
            take("".join(cell["source"]))
        else:
            result.append(cell)
    return [*result, *waiting]


def _prose(notebook: dict) -> list[str]:
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] != "code"]


def _encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main(words: Sequence[str]) -> int:
    """Renew the notebooks of a plan that need it, every `share`-th of them from the first one on: "1/2" is one half."""
    *words, share = words
    first, count = map(int, share.split("/"))
    arguments = commandline.parse(words)
    jobs = to_renew(plan.plan(arguments.profile, arguments.seeds, arguments.only).values())
    for job in jobs[first - 1 :: count]:
        names = renew(job)
        print(f"drawn   {job}: {', '.join(names) or 'its text'}", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("MPLBACKEND", "agg")
    sys.exit(main(sys.argv[1:]))
