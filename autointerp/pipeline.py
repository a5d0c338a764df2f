"""The straight road: which stages there are, in which order, and why one is skipped."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from autointerp import assets, history, sheets, toml
from autointerp.audit.calibration import planted
from autointerp.audit.roles import Roles
from autointerp.causal import stage as causal
from autointerp.collect import stage as collect
from autointerp.compare import stage as compare
from autointerp.config import PARAPHRASED, AuditConfig, LexicalExplainer, LLMScorer, RunConfig
from autointerp.errors import GateFailed, UserError
from autointerp.evidence import stage as evidence
from autointerp.explain import stage as explain
from autointerp.finished import Run
from autointerp.job import Job
from autointerp.llm.budget import refuse_unbatched, refuse_unpriced
from autointerp.progress import fields, log, within
from autointerp.report import stage as report
from autointerp.report.several import drift
from autointerp.score import stage as score
from autointerp.store import RunDirectory, write_text
from autointerp.watch import stage as watch


class Stage(Protocol):
    """A stage module: what it depends on, and how to do it. It reads and writes the run directory and nothing else."""

    @property
    def inputs(self) -> Callable[[Job], dict[str, str]]: ...

    @property
    def run(self) -> Callable[[Job], tuple[list[Path], dict[str, Any]]]: ...


STAGES: dict[str, Stage] = {
    "collect": collect,
    "evidence": evidence,
    "explain": explain,
    "score": score,
    "compare": compare,
    "causal": causal,
    "watch": watch,
    "report": report,
}
OPTIONAL = ("compare", "causal", "watch")  # only where the config has a table of that name


def stages_of(config: RunConfig) -> dict[str, Stage]:
    """The stages of a run, in order."""
    return {name: stage for name, stage in STAGES.items() if name not in OPTIONAL or getattr(config, name) is not None}


def run(
    source: str | Path | RunConfig, overrides: tuple[str, ...] = (), out: str | Path = "runs", only: str | None = None
) -> Run:
    """Run a config: every stage, or `only` one. What is already there and still true is not made again.

    Raises UserError for a mistake in what was asked, GateFailed where the circularity policy says no,
    WorkPending where a cap was reached, a provider is down, or another process is at work on the run. However it ends,
    what is done and spent is kept where the run lives.
    """
    config = source if isinstance(source, RunConfig) else toml.load(source, overrides)
    with at_work(config, out) as job:
        directory = job.directory
        if job.baseline is not None:
            recorded = RunDirectory(job.baseline.path).records()["collect"].inputs
            history.refuse_other_content(collect.inputs(job), job.baseline, recorded)
        for name, stage in stages_of(config).items():
            if only in (None, name):
                with within(stage=name):
                    do(job, name, stage)
                if only:
                    break
            else:
                known = name in directory.records()
                reason = directory.stale(name, inputs_of(job, stage)) if known else "it has not run yet"
                if reason:
                    raise UserError(
                        f"you asked for the {only} stage alone",
                        f"it needs {name}, and {reason}",
                        f"run {'' if name in OPTIONAL else f'`autointerp {name}` or '}`autointerp run` first",
                    )
    finished = Run(directory.path)
    if only is None:
        refuse_disguised(config, finished)
        refuse_ungated(finished)
    return finished


def audit(directory: str | Path) -> Run:
    """Audit a finished run: circularity.csv and its section of the report, from what is there; nothing is asked.

    Without an `[audit]` of its own, all explainers and judges that are language models are crossed.
    """
    path = Path(directory)
    if not (path / "run.toml").is_file():
        raise UserError(f"you asked to audit {directory}", "it is no run directory: it has no run.toml", "name a run")
    config = toml.load(path / "run.toml")
    if config.audit is None:
        crossed = {
            "explainers": tuple(n for n, role in config.explainers.items() if not isinstance(role, LexicalExplainer)),
            "scorers": tuple(n for n, role in config.scorers.items() if isinstance(role, LLMScorer)),
        }
        few = next((field for field, names in crossed.items() if len(names) < 2), None)
        if few:
            raise UserError(
                f"you asked to audit {directory}",
                f"the run has {len(crossed[few])} {few} that are language models, and a crossed design needs two",
                f"add [{few}] of another family to its config and run it again",
            )
        config = config.model_copy(update={"audit": AuditConfig(**crossed, features=0)})
    return run(config, out=path.parent, only="report")


def calibrate(
    source: str | Path | RunConfig, overrides: tuple[str, ...] = (), out: str | Path = "runs", features: int = 12
) -> Run:
    """Hold the judges of a config against planted features, whose truth is known: a run of its own, NAME-calibration.

    `features` is how many of each of two dictionaries take part; every judge is asked of four explanations of each.
    """
    config = source if isinstance(source, RunConfig) else toml.load(source, overrides)
    return run(planted(config, features), out=out)


def drift_of(source: str, out: str | Path = "runs", last: int = 30) -> Path:
    """How the last runs of a config or name, kept by date, went: NAME-history.html and .csv beside them."""
    named = not source.endswith(".toml") and assets.preset(source) is None
    name = history.undated(source if named else toml.load(source).name)
    runs = history.kept(out, name)[-last:]
    if not runs:
        raise UserError(
            f"you asked for the history of {name!r}",
            f"{out} holds no run that is named {name}-YYYY-MM-DD",
            "run it with --dated, or name another folder of runs with --out",
        )
    frame = drift.table(runs)
    page = Path(out) / f"{name}-history.html"
    sheets.write(page.with_suffix(".csv"), frame)
    write_text(page, drift.render(name, runs, frame))
    return page


def run_shard(source: str | Path, overrides: tuple[str, ...], out: str | Path, shard: str) -> None:
    """The share of worker I of N in the collect stage, `shard` being "I/N"; `run` merges what all workers leave."""
    index, _, count = shard.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise UserError(
            f"you asked for --shard {shard}", "that is not I/N with I from 1 to N", "write, say, --shard 1/4"
        )
    with at_work(toml.load(source, overrides), out, f"{int(index)}-of-{int(count)}") as job:
        collect.collect_part(job, int(index), int(count))


@contextmanager
def at_work(config: RunConfig, out: str | Path, worker: str = "") -> Iterator[Job]:
    """The job of a config that may be run, while nobody else works on the run (as a `worker`, on that share of it)."""
    refuse_circular(config, Roles(config))
    refuse_unpriced(config)
    refuse_unbatched(config)
    baseline = history.baseline_of(config, out)
    with within(run=config.name), RunDirectory.at(out, config.name).alone(worker):
        job = open_job(config, out, baseline)
        try:
            yield job
        finally:
            job.close()


def open_job(config: RunConfig, out: str | Path, baseline: Run | None = None) -> Job:
    """A job whose settings stand in the run directory from here on."""
    directory = RunDirectory.open(out, config.name)
    settings = toml.dump(config)
    if not (directory / "run.toml").exists() or (directory / "run.toml").read_text("utf-8") != settings:
        write_text(directory / "run.toml", settings)
        directory.publish()
    return Job(config, directory, baseline)


def inputs_of(job: Job, stage: Stage) -> dict[str, str]:
    """What a stage depends on; its own code, by the version of the package, among it."""
    return {**stage.inputs(job), "autointerp": assets.version()}


def do(job: Job, name: str, stage: Stage) -> None:
    inputs = inputs_of(job, stage)
    reason = job.directory.stale(name, inputs) or unanswered(job, name)
    if reason is None:
        log.info("%-9s nothing to do: same inputs, outputs in place", name)
        return
    log.info("%-9s running, because %s", name, reason, extra=fields(reason=reason))
    started = time.monotonic()
    outputs, facts = stage.run(job)
    job.directory.record(name, inputs, outputs, facts)
    job.finish()
    seconds = time.monotonic() - started
    log.info("%-9s done in %.0f s", name, seconds, extra=fields(seconds=round(seconds, 3)))
    if n := lost(facts):
        said = "%-9s %d requests got no answer: run again to ask for them once more"
        log.warning(said, name, n, extra=fields(lost=n))


def unanswered(job: Job, name: str) -> str | None:
    """Why a stage that is done has to run once more: its gaps may be filled now, and the rest costs nothing."""
    n = lost(job.directory.facts(name))
    return f"{n} requests got no answer last time" if n else None


def lost(facts: dict[str, Any]) -> int:
    """How many questions of a stage no answer has reached: the provider was down or slow, which may pass."""
    return sum(usage.get("lost", 0) for usage in facts.get("usage", []))


def refuse_circular(config: RunConfig, roles: Roles) -> None:
    """Stop before anything is spent when an arm would grade worse than the policy, unless a reason is given."""
    if config.circularity.allow is not None:
        return
    for control, what in (("none", "explanations"), (PARAPHRASED, "paraphrased explanations")):
        for explainer, scorer, grade in roles.arms(control):
            if grade > config.circularity.worst:
                raise GateFailed(
                    f"You asked that no number be graded worse than {config.circularity.worst}, but {what} by "
                    f"{explainer!r} judged by {scorer!r} would be graded {grade}: choose other models, or say why it "
                    f"may be with circularity.allow."
                )


def refuse_disguised(config: RunConfig, finished: Run) -> None:
    """The policy once more, on what providers answered as: an alias may turn out to be a model that was ruled out."""
    worst = finished.scores()["circularity"].max()
    if config.circularity.allow is None and worst > config.circularity.worst:
        raise GateFailed(
            f"Done, but you asked that no number be graded worse than {config.circularity.worst} and some are graded "
            f"{worst}, because a provider answered as another model than it was asked for: see resolved in "
            f"{finished.path / 'report' / 'roles.csv'}, then name another model or give circularity.allow a reason."
        )


def refuse_ungated(finished: Run) -> None:
    """A gate on a number that no run of this config has would let everything pass, every night."""
    gates = finished.gates()
    missing = gates[gates["dictionary"].isna()].to_dict("records")
    if missing:
        raise UserError(
            f"you set a gate on {missing[0]['gate']}",
            f"all is done and {missing[0]['sentence'].partition(': ')[2].removesuffix('.')}",
            f"see metric in {finished.path / 'report' / 'dictionaries.csv'} and mend [gates]",
        )
