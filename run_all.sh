#!/usr/bin/env bash
# Sets up what is missing, then reproduces everything, or runs the tests. See ./run_all.sh --help
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
for python in python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$python" tools/start.py "$@"
    fi
done
echo "run_all.sh: no Python 3.11 or newer was found: install one (python.org, or your system's python3 package), then start again" >&2
exit 1
