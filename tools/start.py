"""What ./run_all.sh does: check its arguments, set up the environment if need be, then start the engine or the tests.

Runs on a bare Python, before anything is installed: standard library only.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from unlearnlib.core.errors import UserError  # noqa: E402
from unlearnlib.engine import commandline  # noqa: E402

VENV = ROOT / ".venv"
STAMP = VENV / "set-up-of"  # holds what the finished environment was made from
UNFINISHED = VENV / "set-up-unfinished"  # lies there while it is being made
# The steps, and roughly how many seconds each takes with a quick connection.
STEPS = {"virtual environment": 5, "uv, the installer": 5, "torch": 40, "packages": 40, "check": 10}

LOCKS: list[int] = []  # the lock on the set-up, while this process holds it


class SetUpError(Exception):
    """The environment cannot be made; the message is one line that says why and what to do."""


def main(words: list[str]) -> int:
    try:
        arguments = commandline.parse(words)
    except UserError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return 2
    environment = clean_environment()
    try:
        python = active_environment(environment, arguments.command) or own_environment(environment)
        install_extras(python, environment, commandline.extras(arguments))
    except SetUpError as error:
        print(f"run_all.sh: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun_all.sh: stopped during set-up; start again to go on", file=sys.stderr)
        return 130
    if arguments.command == "test":
        command = [python, "-m", "pytest", *arguments.pytest]
    else:
        command = [python, "-m", "unlearnlib.engine", *(words[1:] if words[:1] == ["run"] else words)]
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execve(command[0], command, environment)


def clean_environment() -> dict[str, str]:
    """Return the environment variables to go on with: this repository's package first, one thread for every process."""
    environment = dict(os.environ)
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONSTARTUP"):
        environment.pop(name, None)
    environment["PYTHONPATH"] = str(ROOT)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment.setdefault(name, "1")
    environment.setdefault("TOKENIZERS_PARALLELISM", "false")
    return environment


def active_environment(environment: dict[str, str], command: str) -> str | None:
    """Return the Python of the active virtual or conda environment, if it has all that is required."""
    prefix = environment.get("VIRTUAL_ENV") or environment.get("CONDA_PREFIX")
    if not prefix or Path(prefix).resolve() == VENV:
        return None
    python = Path(prefix) / "bin" / "python"
    check = [str(python), "-m", "unlearnlib.engine.requirements", "--missing"] + ["--test"] * (command == "test")
    try:
        result = subprocess.run(check, cwd=ROOT, env=environment, capture_output=True, text=True)
    except OSError:
        return None
    if result.returncode == 0:
        say(f"using the active environment {prefix}")
        return str(python)
    missing = [line.split()[1] for line in result.stdout.splitlines() if line.startswith(("MISSING", "WRONG"))]
    say(f"the active environment {prefix} does not do ({', '.join(missing[:5]) or 'Python is too old'}): using .venv")
    return None


def own_environment(environment: dict[str, str]) -> str:
    """Return the Python of .venv, making or repairing it first if need be; of several processes one does so."""
    environment.pop("CONDA_PREFIX", None)
    environment["VIRTUAL_ENV"] = str(VENV)
    environment["PATH"] = f"{VENV / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    python = str(VENV / "bin" / "python")
    if finished():
        return python
    for folder in (ROOT, VENV):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise SetUpError(
                f"no permission to write to {folder}, where the environment is set up: clone the repository where you "
                "may write, or activate an environment with all that environment.yml names"
            )
    with only_one_process():
        if not finished():
            set_up(python, environment)
    return python


def made_from() -> str:
    """Return what a finished .venv depends on: the lists of requirements, and where it lies."""
    project = json.dumps(project_table(), sort_keys=True).encode()  # settings of tools in the same file do not count
    return hashlib.sha256(project + (ROOT / "requirements.lock").read_bytes() + str(VENV).encode()).hexdigest()


def project_table() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def finished() -> bool:
    """Tell whether .venv is whole and made from the present lists (its Python may have been removed since)."""
    with contextlib.suppress(OSError):
        return STAMP.read_text().strip() == made_from() and (VENV / "bin" / "python").exists()
    return False


def set_up(python: str, environment: dict[str, str]) -> None:
    started = time.monotonic()
    if UNFINISHED.exists() or (VENV.exists() and not runs(python, environment)):
        say("an earlier set-up of .venv was interrupted: making it anew")
        shutil.rmtree(VENV)
    elif VENV.exists() and not STAMP.exists() and requirements_hold(python, environment, "--test", "--missing"):
        STAMP.write_text(made_from() + "\n")  # made by hand, and fit for use
        return
    if not VENV.exists():
        check_base_python()
    STAMP.unlink(missing_ok=True)
    VENV.mkdir(exist_ok=True)
    UNFINISHED.touch()
    announce("virtual environment")
    if not runs(python, environment):
        call([sys.executable, "-m", "venv", str(VENV)], environment, "the virtual environment cannot be made")
    announce("uv, the installer")
    install = installer(python, environment)
    install_torch(python, install, environment)
    announce("packages")
    problem = "the packages cannot be installed: is the package index in reach?"
    if not attempt([*install, "-r", "requirements.lock"], environment):
        install = [python, "-m", "pip", "install", *quiet()]
        call([*install, "-r", "requirements.lock"], environment, problem)
    call([*install, "--no-deps", "--no-build-isolation", "-e", "."], environment, problem)
    announce("check")
    if not requirements_hold(python, environment, "--test"):
        raise SetUpError("the environment lacks what is marked above: start again, or look at pyproject.toml")
    call([python, "-c", "import torch"], environment, "torch is installed but cannot be loaded: see above")
    UNFINISHED.unlink()
    STAMP.write_text(made_from() + "\n")
    say(f"set-up done in {time.monotonic() - started:.0f} s")


def install_extras(python: str, environment: dict[str, str], names: Sequence[str]) -> None:
    """Install optional groups, where they are not there yet: without what those packages themselves ask for
    (see pyproject.toml). Names that pyproject.toml does not have are told by the engine."""
    groups = project_table().get("optional-dependencies", {})
    for name in names:
        there = [python, "-m", "unlearnlib.engine.requirements", "--missing", f"--extra={name}"]
        if name not in groups or attempt(there, environment, subprocess.DEVNULL, subprocess.DEVNULL):
            continue
        with only_one_process():
            say(f"{name}: installing, once, {', '.join(groups[name])}")
            install = [python, "-m", "pip", "install", *quiet(), "--no-deps", *groups[name]]
            call(install, environment, f"the packages of {name} cannot be installed: is the package index in reach?")


def check_base_python() -> None:
    """Raise SetUpError if the Python that runs this cannot make a virtual environment with pip in it."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SetUpError(
            f"{sys.executable} has no venv or no pip: install python{version}-venv (Debian, Ubuntu: "
            f"sudo apt install python{version}-venv) or a Python from python.org, then start again"
        ) from None


def installer(python: str, environment: dict[str, str]) -> list[str]:
    """Return the start of an install command: uv from the package index, or pip where uv cannot be had."""
    pip = [python, "-m", "pip", "install", *quiet()]
    environment.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    if not attempt([*pip, "uv"], environment):
        say("uv cannot be installed: going on with pip, which takes longer")
        return pip
    if "UV_DEFAULT_INDEX" not in environment:  # uv does not read pip's settings: a mirror set there holds for both
        index = subprocess.run(
            [python, "-m", "pip", "config", "get", "global.index-url"], capture_output=True, text=True
        )
        index_url = environment.get("PIP_INDEX_URL") or index.stdout.strip()
        if index_url:
            environment["UV_DEFAULT_INDEX"] = index_url
    uv = str(VENV / "bin" / "uv")
    return [uv, "pip", "install", "--python", python, "--compile-bytecode", *quiet()]


def install_torch(python: str, install: list[str], environment: dict[str, str]) -> None:
    """Install the pinned torch: the build for this machine where its index is in reach, else the configured index's."""
    torch = next(line for line in project_table()["dependencies"] if line.startswith("torch=="))
    backend = "auto" if has_gpu() else "cpu"
    announce("torch", f"{torch}, {'the build for this GPU' if backend == 'auto' else 'the CPU build'}")
    constraints = ["-c", "requirements.lock"]
    if install[0] != python:
        # uv knows where torch's builds lie; one retry, so that an index out of reach costs seconds and no minutes.
        quick = {**environment, "UV_HTTP_RETRIES": "1"}
        watched = None if sys.stderr.isatty() else subprocess.DEVNULL  # nobody watches: a failure is one line, below
        if attempt([*install, torch, f"--torch-backend={backend}", *constraints], quick, watched):
            return
        say("torch's own index is out of reach: taking torch from the configured package index")
    pip = [python, "-m", "pip", "install", *quiet()]
    call([*pip, torch, *constraints], environment, "torch cannot be installed: is the package index in reach?")


def has_gpu() -> bool:
    if shutil.which("nvidia-smi"):
        result = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
        return result.returncode == 0 and "GPU" in result.stdout
    return False


def requirements_hold(python: str, environment: dict[str, str], *options: str) -> bool:
    return attempt([python, "-m", "unlearnlib.engine.requirements", *options], environment)


def runs(python: str, environment: dict[str, str]) -> bool:
    """Tell whether this Python exists, is recent enough and has pip."""
    code = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    with contextlib.suppress(OSError):
        return subprocess.run([python, "-c", code], env=environment, capture_output=True).returncode == 0
    return False


def attempt(command: list[str], environment: dict[str, str], errors=None, output=sys.stderr) -> bool:
    """Run a command and tell whether it succeeded; `errors` and `output` take what it says (default: shown).

    It holds the lock too: should this process be killed, the next one waits until the command has ended.
    """
    with contextlib.suppress(OSError):
        result = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=errors, pass_fds=LOCKS)
        return result.returncode == 0
    return False


def call(command: list[str], environment: dict[str, str], problem: str) -> None:
    if not attempt(command, environment):
        raise SetUpError(problem)


def quiet() -> list[str]:
    """Return the option that leaves out progress bars and lists where nobody is watching."""
    return [] if sys.stderr.isatty() else ["--quiet"]


def announce(step: str, detail: str = "") -> None:
    names = list(STEPS)
    left = sum(STEPS[name] for name in names[names.index(step) :])
    about = f"{round(left / 60, 1):g} min" if left >= 60 else f"{left} s"
    say(f"set-up {names.index(step) + 1} of {len(names)}, about {about} left: {step}{': ' * bool(detail)}{detail}")


def say(message: str) -> None:
    print(f"[run_all] {message}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def only_one_process() -> Iterator[None]:
    """Hold a lock on the repository's folder; it goes with the process, so that none is ever left behind."""
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another process that sets up .venv")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        LOCKS.append(descriptor)
        yield
    finally:
        LOCKS.clear()
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
