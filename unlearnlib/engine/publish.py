"""Copy a complete run to results/, figures/ and notebooks/, without what differs from run to run; that of another
profile than the notebooks' own, its tables and figures alone, to folders of its name there.

Timings, progress bars, papermill's metadata and the addresses of objects in memory go; execution counts run from 1. So
publishing the same results twice changes no file.
"""

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.engine import drawing, execute, parameters
from unlearnlib.engine.plan import Job

execute.quicken_import()
import nbformat  # noqa: E402

ADDRESS = re.compile(r"\b(at )0x[0-9a-f]{6,}")
WIDGET = "application/vnd.jupyter.widget-view+json"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}


class PublishError(Exception):
    """The run cannot be published; the message is one line that says why."""


def check_canonical(jobs: Iterable[Job]) -> None:
    """Raise UserError unless the run is that of the notebooks' own defaults: a reader must see what they give; or of
    another profile over all its seeds."""
    jobs = list(jobs)
    if profile := beside(jobs):
        own = tuple(sorted(profiles.load(profile).seeds))
        if any(job.seeds != own for job in _last(jobs) if job.seeds):
            raise UserError(
                f"--publish takes the run of all seeds of profile {profile}, {list(own)}: leave out --seeds"
            )
        return
    for job in _last(jobs):
        known = parameters.read(job.source)
        for name, value in job.values().items():
            if value != known[name].default:
                raise UserError(
                    f"--publish takes the run of the notebooks' own defaults, but {job.notebook} has "
                    f"{name} = {known[name].default!r} and this run {value!r}"
                )


def beside(jobs: Iterable[Job]) -> str:
    """Return the name of the profile of a run where it is not the notebooks' own: its results are published beside
    those that the notebooks show. Empty where it is."""
    last = _last(jobs)
    own = {known["profile"].default for job in last if "profile" in (known := parameters.read(job.source))}
    return "" if not own or last[0].profile in own else last[0].profile


def publish(jobs: Iterable[Job]) -> int:
    """Copy what a complete run left to the repository, and return the number of files.

    Of another profile than the notebooks' own (see beside) no notebooks are copied, and tables and figures to folders
    of its name. Tables and figures of an earlier run that these notebooks no longer write are deleted. Raises
    PublishError, and then has changed nothing, if a job is not up to date or an output names a folder of this machine.
    """
    jobs = list(jobs)
    copies: dict[Path, bytes] = {}
    profile = beside(jobs)
    for job in jobs:
        if not job.is_done():
            raise PublishError(f"{job} is not up to date")
    for job in _last(jobs):
        executed = nbformat.read(job.executed, as_version=4)
        source = nbformat.read(job.source, as_version=4)
        executed.cells = drawing.with_prose_of(source.cells, executed.cells)
        notebook = normalise(executed)
        text = nbformat.writes(notebook).rstrip("\n") + "\n"
        if not profile:
            copies[paths.NOTEBOOKS / job.executed.name] = text.encode()
        for cell in notebook.cells:
            _check_names_no_folder("".join(_texts(cell.get("outputs", []))), job.executed.name)
        for path in job.results():
            if path.suffix in (".csv", ".png"):
                copies[paths.ROOT / path.parent.name / profile / path.name] = path.read_bytes()
            if path.suffix == ".csv":
                _check_names_no_folder(path.read_text(encoding="utf-8"), path.name)
    numbers = {job.notebook[:2] for job in _last(jobs)}
    for folder, suffix in (("results", ".csv"), ("figures", ".png")):
        for path in (paths.ROOT / folder / profile).glob(f"*{suffix}"):
            if path.name[:2] in numbers and path not in copies:
                path.unlink()
    for path, content in copies.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
                partial.write(content)
            Path(partial.name).chmod(0o644)
            shutil.move(partial.name, path)
    return len(copies)


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of an executed notebook without what differs from run to run; its sources stay as they are."""
    cells, seen, count = [], {}, 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "injected-parameters" in tags or "papermill-error-cell-tag" in tags:
            continue
        cell = nbformat.from_dict(cell)
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        # An id from the content: the same in every run, and that of other cells stays when one is put in.
        digest = hashlib.sha256(f"{cell.cell_type}:{cell.source}".encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        if cell.cell_type == "code":
            has_run = cell.execution_count is not None
            count += has_run
            cell.execution_count = count if has_run else None
            cell.outputs = [_output(output, count) for output in _merged(cell.outputs)]
        cells.append(cell)
    return nbformat.from_dict({"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5})


def _merged(outputs: list) -> list:
    """Return the outputs without progress bars and warnings; adjoining printed texts, however they came in, are one."""
    merged: list = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name != "stdout":
                continue
            if merged and merged[-1].output_type == "stream":
                merged[-1].text += output.text
                continue
        elif WIDGET in output.get("data", {}):
            continue
        merged.append(nbformat.from_dict(output))
    return merged


def _output(output: nbformat.NotebookNode, count: int) -> nbformat.NotebookNode:
    if output.output_type == "stream":
        # what a carriage return overwrote was never to be read
        lines = (line.rstrip("\r").rpartition("\r")[2] for line in output.text.split("\n"))
        output.text = _text("\n".join(lines))
    elif "data" in output:
        output.data = {
            kind: _text(value) if kind.startswith("text/") and isinstance(value, str) else value
            for kind, value in output.data.items()
        }
        output.metadata = nbformat.from_dict({})
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def _text(text: str) -> str:
    return "\n".join(line.rstrip() for line in ADDRESS.sub(r"\g<1>0x0", text).split("\n"))


def _texts(value: Any) -> Iterable[str]:
    """Return every text in an output but encoded images."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if not str(key).startswith("image/") or key == "image/svg+xml":
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _check_names_no_folder(text: str, where: str) -> None:
    for folder in map(str, (paths.ROOT, paths.runs(), sys.prefix, Path.home(), tempfile.gettempdir())):
        if len(folder) > 1 and re.search(r"(?<![\w.])" + re.escape(folder) + r"(?![\w-])", text):
            raise PublishError(f"an output in {where} names {folder}, a folder of this machine")


def _last(jobs: Iterable[Job]) -> list[Job]:
    """Return the notebook jobs that a reader sees: those over all seeds, and those without seeds."""
    last: dict[str, Job] = {}
    for job in jobs:
        if job.notebook and len(job.seeds) >= len(last.get(job.notebook, job).seeds):
            last[job.notebook] = job
    return list(last.values())
