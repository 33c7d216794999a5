"""Run the graph of jobs on this machine, show how far it is, and say at the end what ran and what failed.

snakemake schedules the jobs (Snakefile), the module worker does one, the module plan knows what is up to date. This
module guards them: one engine at a time writes to a runs folder, what an earlier one left running is ended first, and
nothing outlives the engine.
"""

import dataclasses
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import filelock
import joblib
import psutil

from unlearnlib.core import paths, profiles, sweeps
from unlearnlib.core.errors import UserError
from unlearnlib.engine import clean, commandline, drawing, execute, plan, processes, progress, publish, why, worker
from unlearnlib.engine.plan import Job


def main(words: Sequence[str]) -> int:
    """Do what is asked; return 0 if all is done, 1 if anything failed, 2 for wrong input, 130 when stopped."""
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)  # a shell lets what it starts in the background ignore it
    try:
        os.environ["UNLEARNLIB_RUNS"] = str(paths.runs().resolve())  # the same for a notebook in another folder
        arguments = commandline.parse(words)
        if arguments.clean is not None:
            with _only_engine(paths.runs()):
                return clean.clean(arguments.profile, arguments.clean, arguments.yes)
        if arguments.collect:
            print(f"written: {_short(sweeps.save(arguments.profile, arguments.collect))}")
            return 0
        values = sweeps.joined(arguments.sets)
        wanted = [
            dataclasses.replace(
                arguments, profile=name, seeds=arguments.seeds or tuple(sorted(profiles.load(name).seeds))
            )
            for name in sweeps.names(arguments.profile, values)
        ]
        planned = [(one, list(plan.plan(one.profile, one.seeds, one.only).values())) for one in wanted]
        if arguments.dry_run or arguments.why:
            for one, jobs in planned:
                print(f"{one.profile}:" * (len(planned) > 1), end="\n" * (len(planned) > 1))
                print(why.explain(jobs) if arguments.why else preview(jobs, arguments.force))
            return 0
        if arguments.publish:
            publish.check_canonical(planned[0][1])
        with _only_engine(paths.runs()):
            complete = True
            for number, (one, jobs) in enumerate(planned, 1):
                if len(planned) > 1:
                    print(f"{one.profile} ({number} of {len(planned)})")
                complete &= run(jobs, one)
            if arguments.publish:
                if not complete:
                    print("not published: the run is not complete", file=sys.stderr)
                    return 1
                count, profile = publish.publish(planned[0][1]), publish.beside(planned[0][1])
                where = f"results/{profile} and figures/{profile}" if profile else "results/, figures/ and notebooks/"
                print(f"published {count} files to {where}")
                if not profile:
                    _renew_readme()
            return 0 if complete else 1
    except UserError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return 2
    except publish.PublishError as error:
        print(f"not published: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept: start the same command again to go on from there", file=sys.stderr)
        return 130


def _renew_readme() -> None:
    """Write the published tables into the README, where it has a place for them."""
    from unlearnlib.claims import readme  # imports pandas and scipy, which a run itself does without

    if (paths.ROOT / "README.md").is_file():
        readme.main([])


def preview(jobs: Sequence[Job], force: bool = False) -> str:
    """Return one line per job: what would run, and what is up to date."""
    lines = [f"{'up to date' if job.is_done() and not force else 'would run ':<11} {job}" for job in jobs]
    count = f"{sum(line.startswith('would') for line in lines)} of {len(lines)} jobs would run"
    drawn = [] if force else drawing.to_renew(jobs)
    if drawn:
        count += f"; figures or text of {len(drawn)} notebooks would be made anew without running them"
    return "\n".join(
        [*lines, *(f"would draw  {job}: {', '.join(drawing.stale(job)) or 'its text'}" for job in drawn), count]
    )


def run(jobs: Sequence[Job], arguments: commandline.Arguments) -> bool:
    """Do the jobs that are not up to date, print the closing table, and tell whether all are done."""
    upto_date = {job for job in jobs if job.is_done() and not arguments.force}
    todo = [job for job in jobs if job not in upto_date]
    renewed = _renew([job for job in jobs if job in upto_date], arguments)
    if not todo and renewed:
        print(f"{renewed} notebooks have their figures and text anew; look in {_short(jobs[-1].folder)}")
        return True
    if not todo:
        print(f"all {len(jobs)} jobs are up to date (run them anyway with --force); look in {_short(jobs[-1].folder)}")
        return True
    for job in todo:  # a stamp whose results are gone, or that is not to count
        job.stamp.unlink(missing_ok=True)
    watch = Watch(todo, cores=arguments.jobs or _at_a_time(arguments.profile))
    count = f"{len(todo)} job{'s' * (len(todo) > 1)} to do, {len(upto_date)} up to date"
    print(f"{count}; logs and executed notebooks below {_short(paths.runs() / arguments.profile)}")
    code, log = _snakemake(arguments, watch)
    outcomes = {job: "up to date" if job in upto_date else watch.outcome(job) for job in jobs}
    reasons = {job: watch.reason(job) for job in jobs if outcomes[job] == "failed"}
    print(f"\n{progress.table(outcomes, reasons)}")
    complete = all(outcome in ("ran", "up to date") for outcome in outcomes.values())
    if complete:
        print(f"done in {progress.duration(time.time() - watch.started)}; look in {_short(jobs[-1].folder)}")
    elif not reasons:
        print(f"the scheduler ended with code {code} before a job failed: look in {_short(log)}")
    return complete


def _at_a_time(profile: str) -> int:
    """Return how many jobs run at a time where nobody says it: one for every core, as far as memory goes."""
    cores, need, available = joblib.cpu_count(), plan.memory(profile) * 1e6, psutil.virtual_memory().available
    fit = max(1, min(cores, int(available // need)))
    if fit < cores:
        told = f"{available / 1e9:.1f} GB of memory available, and a job takes up to {need / 1e9:.1f}"
        print(f"{fit} job{'s' * (fit > 1)} at a time, of {cores} cores: {told} (--jobs N to choose yourself)")
    return fit


def _renew(jobs: Sequence[Job], arguments: commandline.Arguments) -> int:
    """Draw the stale figures of notebooks that need not run, on all cores; return how many notebooks had any."""
    waiting = drawing.to_renew(jobs)
    if not waiting:
        return 0
    print(f"figures or text of {len(waiting)} notebooks are out of date: they are made anew without running them")
    cores = min(arguments.jobs or joblib.cpu_count(), len(waiting))
    words = ["--profile", arguments.profile, "--seeds", ",".join(map(str, arguments.seeds))]
    words += ["--only", ",".join(arguments.only)] if arguments.only else []
    command = [sys.executable, "-m", "unlearnlib.engine.drawing", *words]
    environment = {**os.environ, "PYTHONPATH": str(paths.ROOT), processes.MARK: str(paths.runs())}
    children = [
        subprocess.Popen([*command, f"{one}/{cores}"], cwd=paths.ROOT, env=environment) for one in range(1, cores + 1)
    ]
    if any([child.wait() for child in children]):
        raise UserError("a figure cannot be drawn anew: see above, or run its notebook again with --force --only NN")
    return len(waiting)


class Watch:
    """Follows the jobs of one run by what they write to their status files."""

    def __init__(self, jobs: Sequence[Job], cores: int):
        self.jobs = list(jobs)
        self.cores = cores
        self.run = uuid.uuid4().hex
        self.started = time.time()
        self.stamps = {job: job.stamp for job in jobs}
        self.usual = {job: seconds for job in jobs if (seconds := worker.usual_seconds(job))}
        self.states: dict[Job, dict] = {job: {} for job in jobs}

    def refresh(self, display: progress.Display) -> None:
        """Read the status files, and show what is new and what runs."""
        for job in self.jobs:
            before, status = self.states[job].get("state"), worker.read(job.status)
            if status.get("run") != self.run or before in ("done", "failed"):
                continue
            self.states[job] = status
            if status["state"] == "done":
                self.usual[job] = status["seconds"]
                display.event(self.summary(), f"done    {job} ({progress.duration(status['seconds'])})")
            elif status["state"] == "failed":
                display.event(self.summary(), f"FAILED  {job}: {status['error']}")
            elif before is None:
                display.event(self.summary(), f"started {job}")
        now = time.time()
        running = [job for job in self.jobs if self.states[job].get("state") == "running"]
        display.renew(
            self.summary(),
            [f"{job}: {self._detail(job)}, {progress.duration(now - self.states[job]['started'])}" for job in running],
        )

    def summary(self) -> str:
        states = {job: self.states[job].get("state") for job in self.jobs}
        running = {job: time.time() - self.states[job]["started"] for job in self.jobs if states[job] == "running"}
        waiting = [job for job in self.jobs if states[job] is None]
        left = progress.seconds_left(waiting, running, self.usual, self.cores)
        done = sum(state == "done" for state in states.values())
        return progress.header(done, len(self.jobs), left, self.started)

    def outcome(self, job: Job) -> str:
        """Return "ran", "failed" or "not run", once the run has ended."""
        if self.states[job].get("state") == "done" and self.stamps[job].exists():
            return "ran"
        return "failed" if self.states[job] else "not run"

    def reason(self, job: Job) -> tuple[str, str]:
        """Return the error of a failed job in one line, and where to look."""
        status = self.states[job]
        error = status.get("error") or f"it was killed: {execute.OUT_OF_MEMORY}"
        return error, _short(job.executed if job.notebook and job.executed.exists() else job.log)

    def _detail(self, job: Job) -> str:
        """Return how far a job is: the cell of a notebook, the last line of a training's log."""
        if job.notebook:
            return self.states[job].get("detail", "starting")
        try:
            lines = job.log.read_text(errors="replace")[-400:].replace("\r", "\n").split("\n")
        except OSError:
            return "starting"
        return next((line.strip() for line in reversed(lines) if line.strip()), "starting")


def _snakemake(arguments: commandline.Arguments, watch: Watch) -> tuple[int, Path]:
    """Run snakemake over the jobs and follow it; return its exit code and its log."""
    log = paths.runs() / arguments.profile / "logs" / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    config = [f"profile={arguments.profile}", f"seeds={','.join(map(str, arguments.seeds))}"]
    config += [f"only={','.join(arguments.only)}"] if arguments.only else []
    command = [sys.executable, "-m", "unlearnlib.engine.processes", "--snakefile", str(paths.ROOT / "Snakefile")]
    command += ["--cores", str(watch.cores), "--keep-going", "--scheduler", "greedy"]
    # The stamps alone say what must run. No lock of snakemake's and no record of an interrupted job is needed.
    command += ["--nolock", "--ignore-incomplete", "--rerun-triggers", "mtime", "--drop-metadata"]
    command += ["--config", *config]
    environment = {
        **os.environ,
        processes.MARK: str(paths.runs()),
        "UNLEARNLIB_RUN": watch.run,
        "PYTHONPATH": str(paths.ROOT),
    }
    display = progress.Display()
    with log.open("w") as output:
        child = subprocess.Popen(
            command,
            cwd=paths.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches the engine alone, which ends the rest
        )
        try:
            while child.poll() is None:
                watch.refresh(display)
                time.sleep(0.5)
            watch.refresh(display)
        finally:
            display.close()
            processes.end_marked(paths.runs())
            child.wait()
    return child.returncode, log


@contextmanager
def _only_engine(folder: Path):
    """Be the only engine that writes to a runs folder, and end what an earlier one left running."""
    lock = filelock.FileLock(folder / "engine.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise UserError(f"another run is writing to {_short(folder)}: wait for it, or stop it first") from None
    except OSError as error:
        raise UserError(
            f"cannot write to {_short(folder)} ({error.strerror}): make it a folder that you may write to, or name "
            "another one in the variable UNLEARNLIB_RUNS"
        ) from None
    try:
        left = processes.end_marked(folder)
        if left:
            print(f"ended {left} processes that an earlier run left behind")
        yield
    finally:
        lock.release()


def _short(path: Path) -> str:
    """Return a path as seen from the repository where it lies in it."""
    return str(path.relative_to(paths.ROOT)) if path.is_relative_to(paths.ROOT) else str(path)


def _stop(number, frame):
    raise KeyboardInterrupt
