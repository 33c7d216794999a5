"""What results depend on beside code and profile: versions and hardware."""

import os
import platform
from importlib.metadata import version
from pathlib import Path


def provenance() -> dict[str, str]:
    """Return what a result depends on beside its code and profile: versions and hardware, as short strings."""
    packages = {name: version(name) for name in ("torch", "transformers", "datasets", "papermill", "snakemake")}
    return {"python": platform.python_version(), **packages, "processor": _processor(), "cores": str(os.cpu_count())}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()} ({platform.machine()})"
