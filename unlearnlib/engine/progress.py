"""What a person watching a run sees: jobs done of total, time left, what runs now, and the table at the end."""

import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from unlearnlib.engine.plan import Job

QUIET = 60.0  # seconds after which a log file without news gets a line


def seconds_left(
    waiting: Iterable[Job], running: Mapping[Job, float], usual: Mapping[Job, float], cores: int
) -> float | None:
    """Return an estimate of the seconds until all is done, None while nothing is known of any job.

    `running` holds the seconds since each running job began, `usual` the seconds that jobs took. A job whose own time
    is not known is taken to last as long as others of its title, or as the mean of all: those that are done, and those
    that run longer already.
    """
    if not usual:
        return None
    by_title: dict[str, list[float]] = {}
    for job, seconds in usual.items():
        by_title.setdefault(job.title, []).append(seconds)
    overall = _mean(usual.values())
    longer = [spent for job, spent in running.items() if job.title not in by_title and spent > overall]
    overall = _mean([*usual.values(), *longer])

    def expected(job: Job) -> float:
        return usual.get(job) or _mean(by_title.get(job.title, [overall]))

    rest = [max(expected(job) - spent, 1.0) for job, spent in running.items()] + [expected(job) for job in waiting]
    return max(sum(rest) / cores, max(rest, default=0.0))


def duration(seconds: float) -> str:
    """Return seconds as a person says them: 48 s, 12 min, 1 h 40 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def header(done: int, total: int, left: float | None, started: float) -> str:
    """Return the line that sums up how far the run is."""
    rest = "" if done == total else ", time left not known yet" if left is None else f", about {duration(left)} left"
    return f"{done} of {total} jobs done after {duration(time.time() - started)}{rest}"


class Display:
    """Shows events as lines; on a terminal, below them and always renewed, how far the run is and what runs now."""

    def __init__(self, stream=sys.stdout):
        self.stream = stream
        self.live = stream.isatty()
        self._height = 0
        self._last = time.monotonic()

    def event(self, summary: str, text: str) -> None:
        """Show something that happened; in a log file every such line begins with the summary."""
        self._erase()
        self._write(text if self.live else f"[{summary}] {text}")

    def renew(self, summary: str, running: Sequence[str]) -> None:
        """Show the present state: renewed in place on a terminal, a line a minute in a log file."""
        if self.live:
            self._erase()
            width = shutil.get_terminal_size().columns - 1
            lines = [summary[:width], *(f"  {line}"[:width] for line in running)]
            self._write("\n".join(lines))
            self._height = len(lines)
        elif time.monotonic() - self._last > QUIET:
            self._write(f"[{summary}] running: {'; '.join(running)}")

    def close(self) -> None:
        """Take away what is renewed in place."""
        self._erase()

    def _erase(self) -> None:
        if self._height:
            self.stream.write(f"\033[{self._height}F\033[J")
            self._height = 0

    def _write(self, text: str) -> None:
        self.stream.write(text + "\n")
        self.stream.flush()
        self._last = time.monotonic()


def table(outcomes: Mapping[Job, str], reasons: Mapping[Job, tuple[str, str]]) -> str:
    """Return the closing table: per title how many jobs ran, were up to date, failed or were not run.

    `outcomes` maps every job to one of "ran", "up to date", "failed", "not run"; `reasons` maps failed jobs to the
    error in one line and to where to look.
    """
    columns = ("ran", "up to date", "failed", "not run")
    titles = list(dict.fromkeys(job.title for job in outcomes))
    width = max(len(title) for title in titles)
    lines = [" " * width + "".join(f"{column:>12}" for column in columns)]
    for title in titles:
        counts = [
            sum(job.title == title and outcome == column for job, outcome in outcomes.items()) for column in columns
        ]
        lines.append(f"{title:<{width}}" + "".join(f"{count or '-':>12}" for count in counts))
    for job, (error, where) in reasons.items():
        lines += [f"FAILED {job}: {error}", f"       look in {where}"]
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values)
