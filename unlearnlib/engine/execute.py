"""Execute one notebook, with parameters that are checked first:

    python -m unlearnlib.engine.execute notebooks/05_layerwise_unlearning.ipynb out.ipynb -p profile small

The kernel is this very Python, whatever kernels are registered on the machine, and no start-up files of the user count.
"""

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlearnlib.core.errors import UserError
from unlearnlib.engine import parameters

LONGEST_SOCKET = 100  # bytes of the name of a socket: the system allows 108, some systems 104
OUT_OF_MEMORY = "probably out of memory: close other programs, or run fewer jobs at a time (--jobs 1)"


class NotebookError(Exception):
    """A notebook did not run through; the message is one line that names the code cell and the error."""


def execute(
    source: Path, target: Path, values: Mapping[str, Any], report: Callable[[str], None] = lambda text: None
) -> None:
    """Execute the notebook `source` with these parameters and write it to `target`, also as far as it got if it fails.

    `report` is called at the start of every code cell with a text such as "cell 4 of 18".
    Raises UserError for wrong parameters before a kernel starts, and NotebookError if a cell fails or the kernel dies.
    """
    parameters.check(source, values)
    target.parent.mkdir(parents=True, exist_ok=True)
    quicken_import()
    import papermill  # late: about a second, which a wrong parameter need not wait for
    from nbclient.exceptions import DeadKernelError
    from papermill.engines import NBClientEngine, papermill_engines
    from traitlets.config import Config

    where = "before the first cell"

    class ReportingEngine(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, manager, kernel_name, **options):
            code = [
                index
                for index, cell in enumerate(manager.nb.cells)
                if cell.cell_type == "code" and "injected-parameters" not in cell.metadata.get("tags", [])
            ]
            start = manager.cell_start

            def cell_start(cell, cell_index=None, **more):
                nonlocal where
                if cell_index in code:
                    where = f"cell {code.index(cell_index) + 1} of {len(code)}"
                    report(where)
                start(cell, cell_index, **more)

            manager.cell_start = cell_start
            super().execute_managed_notebook(manager, kernel_name, config=config, **options)

    papermill_engines.register("reporting", ReportingEngine)
    with _only_this_python() as folder:
        config = Config({"KernelManager": _connection(folder)})
        try:
            papermill.execute_notebook(
                _literal(source),
                _literal(target),
                parameters=dict(values),
                engine_name="reporting",
                kernel_name="python3",
                progress_bar=False,
                cwd=source.parent,
            )
        except papermill.PapermillExecutionError as error:
            lines = error.evalue.strip().splitlines() or [""]
            raise NotebookError(f"{where}: {error.ename}: {lines[0]}") from None
        except DeadKernelError:
            raise NotebookError(f"the kernel died in {where}: {OUT_OF_MEMORY}") from None


def _literal(path: Path) -> str:
    """Return a path that papermill takes as it is: it puts parameters in for names in braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def quicken_import() -> None:
    """Call this before importing what reads notebooks: it spares 3 seconds.

    jsonschema imports this package if it can, to check a kind of address that no notebook has, and the package builds a
    large grammar while it is imported.
    """
    sys.modules.setdefault("rfc3987_syntax", None)


def _connection(folder: Path) -> dict[str, str]:
    """Return how client and kernel talk: through sockets that are files in a folder of their own, since of two kernels
    that start at the same moment both could be given the same port; through ports where the folder's name is longer
    than that of such a file may be."""
    fits = len(os.fsencode(folder / "kernel-0")) <= LONGEST_SOCKET
    return {"transport": "ipc", "ip": str(folder / "kernel")} if fits else {}


def _short_folder() -> str | None:
    """Return where to make a folder for sockets: the usual place for temporary files (None), or /tmp where the name of
    the usual one, which TMPDIR may set, is too long for them."""
    usual = Path(tempfile.gettempdir()) / "unlearnlib-12345678" / "kernel-0"
    too_long = len(os.fsencode(usual)) > LONGEST_SOCKET
    return "/tmp" if too_long and os.access("/tmp", os.W_OK | os.X_OK) else None


@contextmanager
def _only_this_python() -> Iterator[Path]:
    """Let "python3" be the kernel of this environment, without the user's IPython settings; yield a folder for it."""
    with tempfile.TemporaryDirectory(prefix="unlearnlib-", dir=_short_folder(), ignore_cleanup_errors=True) as folder:
        changes = {
            "JUPYTER_PATH": str(Path(sys.prefix) / "share" / "jupyter"),
            "JUPYTER_RUNTIME_DIR": str(Path(folder) / "runtime"),
            "IPYTHONDIR": str(Path(folder) / "ipython"),
            "JUPYTER_PLATFORM_DIRS": "1",  # the folders of every later version; else the present one warns
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield Path(folder)
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def main(words: Sequence[str]) -> int:
    """Execute the notebook that the command line names; return 0, or 1 if it failed, or 2 for a wrong command line."""
    import yaml

    parser = argparse.ArgumentParser(prog="python -m unlearnlib.engine.execute", description="Execute one notebook.")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="one parameter")
    parser.add_argument("-y", action="append", default=[], metavar="YAML", help='parameters as YAML: "seeds: [3]"')
    options = parser.parse_args(words)
    try:
        # To YAML 2e-4 is a word; papermill takes it for the number that it is, and so do we.
        number = re.compile(r"[-+]?\d+\.?\d*[eE][-+]?\d+")
        values = {name: float(text) if number.fullmatch(text) else yaml.safe_load(text) for name, text in options.p}
        for text in options.y:
            values.update(yaml.safe_load(text))
        if not options.source.is_file():
            raise UserError(f"no notebook {options.source}")
        execute(
            options.source, options.target, values, lambda text: print(f"{options.source.stem}: {text}", flush=True)
        )
    except (UserError, yaml.YAMLError, TypeError) as error:
        print(str(error).splitlines()[0], file=sys.stderr)
        return 2
    except NotebookError as error:
        print(f"{error}; see {options.target}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
