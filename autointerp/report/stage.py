"""Measure and report: scores in, CSV files and one HTML page out. Nothing here needs the subject or a model."""

from pathlib import Path
from typing import Any

from autointerp import assets, sheets
from autointerp.job import Job
from autointerp.report.data import Report
from autointerp.report.gather.directory import gather
from autointerp.report.page import html
from autointerp.report.summary import summary
from autointerp.store import digest, digest_of, write_text


def inputs(job: Job) -> dict[str, str]:
    records = job.directory.records()
    return {
        **{stage: digest_of(records[stage].outputs) for stage in ("collect", "evidence", "explain", "score")},
        "settings": digest_of(
            [
                job.config.name,
                job.config.seed,
                job.config.score.resamples,
                job.config.circularity.model_dump(),
                job.config.audit and job.config.audit.model_dump(),
                job.config.calibration and job.config.calibration.model_dump(),
            ]
        ),
        **({"compare": digest_of(records["compare"].outputs)} if job.config.compare is not None else {}),
        **({"causal": digest_of(records["causal"].outputs)} if job.config.causal else {}),
        **({"watch": digest_of(records["watch"].outputs)} if job.config.watch else {}),
        "templates": digest(assets.templates()),
        **({"ratings": digest(folder)} if (folder := job.directory / "ratings").is_dir() else {}),
        **gated(job),
    }


def gated(job: Job) -> dict[str, str]:
    """What gates and the comparison with a baseline depend on, where there are any."""
    found = {}
    if job.config.gates:
        found["gates"] = digest_of({name: gate.model_dump() for name, gate in job.config.gates.items()})
    if job.baseline is not None:
        read = ["run.toml", *(f"report/{name}.csv" for name in ("dictionaries", "scores", "features"))]
        found["baseline"] = digest_of([job.baseline.name, *(digest(job.baseline.path / name) for name in read)])
    return found


def run(job: Job) -> tuple[list[Path], dict[str, Any]]:
    """Write report/*.csv and report/index.html; return (outputs, facts)."""
    report, folder = gather(job), job.directory / "report"
    outputs = write(folder, report)
    # It says what this machine spent, as costs.csv does, and so is no output either.
    write_text(folder / "summary.txt", summary(report, f"{job.directory.location}/report/index.html") + "\n")
    return outputs, {}


def write(folder: Path, report: Report) -> list[Path]:
    """The files of a report; those whose bytes are the same for the same run are returned."""
    frames = {name: getattr(report, name) for name in ("dictionaries", "features", "scores", "roles", "costs")}
    if not report.circularity.empty:
        frames["circularity"] = report.circularity
    if not report.calibration.empty:
        frames["calibration"] = report.calibration
    if report.comparison is not None:
        frames["laws"] = report.comparison.laws
    if not report.gates.empty:
        frames["gates"] = report.gates
    if report.baseline is not None:
        frames["baseline"] = report.baseline.changes
    if report.watched is not None:
        frames["watch"] = report.watched.found
    for gone in {"gates", "baseline"} - set(frames):
        (folder / f"{gone}.csv").unlink(missing_ok=True)
    for name, frame in frames.items():
        sheets.write(folder / f"{name}.csv", frame)
    write_text(folder / "index.html", html.render(report))
    write_text(folder / "audit.html", html.render_audit(report))
    # costs.csv says what this machine spent, so it may differ between two runs that agree in everything else.
    outputs = [folder / f"{name}.csv" for name in frames if name != "costs"]
    return [*outputs, folder / "index.html", folder / "audit.html"]
