"""`python -m unlearnlib.verify manifest.json`: exits 0 where the replay gives what the manifest says, else 1 with a
line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError


def main(words: Sequence[str]) -> int:
    """Check the manifest that the command line names, print one line, and return 0 if it holds, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m unlearnlib.verify",
        description="Replay a training log without the removed texts, from the base model, and compare every bit.",
        epilog="Verified means: this model comes from this log without these texts. That the log is what happened, "
        "nobody can see from it (forging: Thudi et al. 2021, arXiv 2110.11891).",
    )
    parser.add_argument("manifest", type=Path, help="manifest.json, with the log and the weights beside it")
    parser.add_argument("--texts", type=Path, default=paths.DATA, help="folder of *.jsonl with the texts that are left")
    asked = parser.parse_args(words)
    from unlearnlib.verify import checking  # torch takes seconds to import, which --help need not wait for

    try:
        print(checking.verify(asked.manifest, asked.texts))
    except UserError as error:
        print(f"not verified: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
