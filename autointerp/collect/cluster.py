"""The same pass over a Ray cluster: shards are mapped over tasks, their parts reduced in a tree.

A task keeps its part durable in the run directory after every shard, as a local run does. One that dies with its
worker is started again by Ray and goes on from there; so does a run that was killed whole. The run directory has to
be one that all nodes see: a shared file system, or a remote one.
"""

import logging
from collections.abc import Sequence

from autointerp.collect import collector
from autointerp.collect.parts import Part, pairs
from autointerp.collect.prepare import Prepared
from autointerp.config import RunConfig
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.store import RunDirectory

log = logging.getLogger(__name__)

RETRIES = 3  # of a task whose worker died


def collect(job: Job, prepared: Prepared, shards: Sequence[int]) -> Part:
    """The part of the given shards, which other processes work out."""
    try:
        import ray
    except ImportError:
        raise UserError(
            "you asked for collect.engine = 'ray'", "ray is not installed", "pip install 'autointerp[ray]'"
        ) from None
    config = job.config
    ours = not ray.is_initialized()
    if ours:
        ray.init(address=config.collect.ray_address, log_to_driver=False, include_dashboard=False)
    try:
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]  # ray has no types for it
        gpu = resources.get("GPU", 0) >= 1 and config.subject.device in ("auto", "cuda")
        workers = config.collect.workers or int(resources.get("GPU" if gpu else "CPU", 1))
        work = ray.remote(num_gpus=1 if gpu else 0, num_cpus=1, max_retries=RETRIES)(run_task)
        merge = ray.remote(num_cpus=0, max_retries=RETRIES)(reduce)
        log.info("  %d shards over %d ray workers", len(shards), workers)
        groups = [list(shards[at::workers]) for at in range(min(workers, len(shards)))]
        # A relative path would be taken from the worker's own folder.
        directory = RunDirectory(job.directory.path.absolute(), job.directory.mirror)
        level = [work.remote(config, directory, group, prepared) for group in groups]
        while len(level) > 1:
            level = [merge.remote(*pair) for pair in pairs(level)]
        found: Part = ray.get(level[0])
        return found
    except ray.exceptions.RayTaskError as error:
        # A sentence for the user is one wherever it was said.
        raise (error.cause if isinstance(error.cause, UserError) else error) from None
    finally:
        if ours:
            ray.shutdown()


def run_task(config: RunConfig, directory: RunDirectory, shards: list[int], prepared: Prepared) -> Part:
    """One worker's shards; those already durable from an earlier try are not done again."""
    directory.pull()
    job = Job(config, directory)
    path = directory / "collect" / "parts" / f"ray-{shards[0]:06d}.safetensors"
    part = Part.load(path)[0] if path.exists() else collector.empty_part(job, prepared)  # from a try whose worker died
    missing = [shard for shard in shards if shard not in part.shards]

    def keep(part: Part) -> None:
        part.save(path, prepared.inputs)
        directory.publish()

    return collector.collect(job, prepared, missing, part, keep, lambda _: None)


def reduce(*parts: Part) -> Part:
    first, *others = parts
    for other in others:
        first = first.merge(other)
    return first
