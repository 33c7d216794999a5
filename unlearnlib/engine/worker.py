"""Do one job of a run: the command that snakemake starts, here or on a node of a cluster.

What the job prints goes to its log; how far it is, and why it failed, to its status; its stamp is written last of all.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from unlearnlib.core import cache, fingerprint, paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.engine import execute, plan, processes, why
from unlearnlib.models import packaged

ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # one job per core: more threads would only get in each other's way
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MPLBACKEND": "",  # the kernel shows figures in the notebook, whatever the machine's setting
}


class JobError(Exception):
    """The job failed; the message is one line."""


EXPECTED = (JobError, UserError, execute.NotebookError)


def do(job: plan.Job, stamp: Path) -> None:
    """Do the job and leave `stamp`. Raises JobError, UserError or NotebookError with one line that says what failed."""
    started = time.time()
    job.status.parent.mkdir(parents=True, exist_ok=True)
    used = job.status.with_suffix(".used")
    used.write_text("")
    os.environ[cache.USED] = str(used)
    status = {"run": os.environ.get("UNLEARNLIB_RUN", ""), "started": started, "usual": usual_seconds(job)}
    write(job.status, {**status, "state": "running"})
    for earlier in job.stamps():  # from here on what lies there is no longer what they vouched for
        earlier.unlink(missing_ok=True)
    try:
        _check_unchanged(job, stamp, "since the run began")
        if job.kind:
            _train(job)
            written = []
        else:
            for path in (*job.results(), *job.drawn()):
                path.unlink()
            report = lambda text: write(job.status, {**status, "state": "running", "detail": text})  # noqa: E731
            execute.execute(job.source, job.executed, job.values(), report)
            written = [job.executed, *job.results()]
        _check_unchanged(job, stamp, "while it ran")
    except Exception as error:
        text = str(error) if isinstance(error, EXPECTED) else f"{type(error).__name__}: {error}"
        line = (text.splitlines() or [""])[0]
        write(job.status, {**status, "state": "failed", "seconds": time.time() - started, "error": line})
        raise
    seconds = time.time() - started
    names = {path: path.relative_to(paths.runs()).as_posix() for path in written}
    digests = {name: fingerprint.files(path) for path, name in names.items() if path != job.executed}
    content = {"written": list(names.values()), "digests": digests, "used": sorted(used.read_text().split())}
    write(stamp, {**content, "parts": why.summary(job.parts())})
    used.unlink()
    write(job.status, {**status, "state": "done", "seconds": seconds, "usual": seconds})


def usual_seconds(job: plan.Job) -> float | None:
    """Return how long the job took when it last succeeded, None if it never did."""
    return read(job.status).get("usual")


def read(path: Path) -> dict:
    """Return the content of a status or stamp, an empty mapping if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def write(path: Path, content: dict) -> None:
    """Write a status or stamp so that a reader sees the old one or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(content) + "\n", encoding="utf-8")
    partial.replace(path)


def _train(job: plan.Job) -> None:
    from unlearnlib.experiment import jobs

    named = {"--profile": job.profile, "--seed": job.seeds[0], "--kind": job.kind, "--share": job.share}
    code = jobs.main([str(word) for pair in named.items() for word in pair])
    if code:
        lines = [line for line in job.log.read_text(errors="replace").splitlines() if line.strip()]
        raise JobError(lines[-1].strip() if lines else f"it ended with code {code}")


def _check_unchanged(job: plan.Job, stamp: Path, when: str) -> None:
    plan.forget()
    if job.stamp.name != stamp.name:
        raise JobError(f"what it depends on was changed {when}: start ./run_all.sh again")


def main(words: Sequence[str]) -> int:
    processes.end_with_parent()
    parser = argparse.ArgumentParser(prog="python -m unlearnlib.engine.worker", description=__doc__)
    parser.add_argument("stamp", type=Path, help="what the job is to leave; it names the job")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--earlier", type=Path, nargs="*", default=[], help="the stamps of the jobs it waited for")
    options = parser.parse_args(words)
    earlier = [plan.from_stamp(options.profile, stamp) for stamp in options.earlier]
    job = plan.from_stamp(options.profile, options.stamp)
    # Its own fingerprint is computed anew, to see that it still holds; what it reads was done under the one it carries.
    needs = tuple(other for other in earlier if other.kind or other.notebook != job.notebook)
    job = dataclasses.replace(job, known="", needs=needs)
    job.log.parent.mkdir(parents=True, exist_ok=True)
    log = os.open(job.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    os.environ["PYTHONPATH"] = str(paths.ROOT)
    base_model = profiles.load(job.profile).base_model
    if packaged.known(base_model) or (paths.ROOT / base_model).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing is needed from the hub: nothing should wait for it
    try:
        do(job, options.stamp)
    except EXPECTED as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
