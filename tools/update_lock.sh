#!/usr/bin/env bash
# Pin anew everything that pyproject.toml asks for. Torch and what only its CUDA build needs are left out: torch is pinned
# in pyproject.toml and chosen for the machine when it is installed, so that one lock serves machines with and without GPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
pins=$(uv pip compile --quiet --universal --python-version 3.11 --extra test --no-annotate --no-header pyproject.toml)
{
    echo "# Made by tools/update_lock.sh from pyproject.toml; torch and its CUDA packages are left out on purpose."
    grep -vE '^(torch|triton|nvidia-|cuda-)' <<<"$pins"
} >requirements.lock
