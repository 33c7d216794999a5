# The graph of jobs: trainings per seed and kind, every notebook for a few seeds at a time, then once over all seeds.
# ./run_all.sh runs it on this machine. The same graph goes to a cluster through snakemake's executor plugins:
#   snakemake --executor slurm --jobs 100 --keep-going --rerun-triggers mtime --config profile=gpt2 seeds=0-4
#
# unlearnlib/engine/plan.py says which jobs there are and what each depends on: that stands, as a fingerprint, in the name of the
# file a finished job leaves. So whether a job must run is only a matter of whether that file is there, not of its age.
import os
import shlex
import sys

sys.path.insert(0, workflow.basedir)
from unlearnlib.engine import plan

workdir: workflow.basedir

PROFILE, JOBS = plan.from_config(config)
MEMORY = round(1.25 * plan.memory(PROFILE))  # a cluster ends a job that takes more
WORK = f"exec {shlex.quote(sys.executable)} -m unlearnlib.engine.worker"


def short(path):
    """Return a path relative to the repository."""
    return os.path.relpath(path, workflow.basedir)


def earlier(wildcards):
    """Return the stamps of the jobs that a job waits for; that they are there is enough, whatever their age."""
    job = JOBS[wildcards.job]
    return [ancient(short(other.stamp)) for other in (*job.needs, *job.after)]


localrules:
    everything,


rule everything:
    input:
        [short(job.stamp) for job in JOBS.values()],


rule train:
    input:
        earlier,
    output:
        short(plan.stamps_folder(PROFILE, training=True)) + "/{job}@{fingerprint}.json",
    threads: 1
    priority: 1
    resources:
        mem_mb=MEMORY,
        runtime=240,
    shell:
        "{WORK} {output:q} --profile {PROFILE:q} --earlier {input:q}"


rule notebook:
    input:
        earlier,
    output:
        short(plan.stamps_folder(PROFILE, training=False)) + "/{job}@{fingerprint}.json",
    threads: 1
    resources:
        mem_mb=MEMORY,
        runtime=240,
    shell:
        "{WORK} {output:q} --profile {PROFILE:q} --earlier {input:q}"
