"""The command line: a thin table of commands over the stages."""

import logging
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from autointerp import progress
from autointerp.llm.commands import app as ledger

logs = ExitStack()  # of lines of JSON, open until the command has ended
app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(ledger, name="ledger")
exports = typer.Typer(no_args_is_help=True, help="Write something of a run into a file.")
imports = typer.Typer(no_args_is_help=True, help="Take something from a file into a run.")
app.add_typer(exports, name="export")
app.add_typer(imports, name="import")

Configs = Annotated[list[str], typer.Argument(help="TOML files or names of presets.", metavar="CONFIG...")]
Config = Annotated[str, typer.Argument(help="A TOML file or the name of a preset.", metavar="CONFIG")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a setting: a.b=c. May be repeated.")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
Out = Annotated[str, typer.Option("--out", help="The folder that holds the runs, here or s3://… and its like.")]


@app.command()
def run(
    configs: Configs,
    set_: Set = None,
    out: Out = "runs",
    baseline: Annotated[
        str | None,
        typer.Option(help="A finished run to compare with, or `last`: the last good one of those kept by date."),
    ] = None,
    dated: Annotated[bool, typer.Option("--dated", help="Add the date (UTC) to the run's name: one a day.")] = False,
    log_json: Annotated[str | None, typer.Option(help="Add lines of JSON to this file, beside the plain log.")] = None,
) -> None:
    """Run all stages of each config. Resumes where it stopped; does nothing where nothing changed."""
    from autointerp import history, toml
    from autointerp.finished import failed_gates, over_unscored
    from autointerp.pipeline import run

    logs.enter_context(progress.log_json(log_json))
    failed: list[str] = []
    late: list[str] = []
    for source in configs:
        config = toml.load(source, tuple(set_ or ()))
        asked = {"baseline": baseline or config.baseline, "name": history.dated(config.name) if dated else config.name}
        finished = run(config.model_copy(update=asked), out=out)
        typer.echo(finished.summary)
        failing, missing = [f"Done, but {sentence}" for sentence in failed_gates(finished)], over_unscored(finished)
        with progress.within(run=finished.name):
            progress.quiet.info(finished.summary, extra=progress.fields(report=str(finished.report)))
            for sentence in failing + missing:
                progress.quiet.error(sentence)
        failed += failing
        late += missing
    for sentence in failed + late:
        typer.echo(sentence, err=True)
    if failed or late:
        raise typer.Exit(1 if failed else 3)


@app.command()
def history(
    config: Annotated[str, typer.Argument(help="A TOML file, a preset, or the name of runs.", metavar="CONFIG|NAME")],
    last: Annotated[int, typer.Option(help="How many runs, the latest ones.", min=1)] = 30,
    out: Out = "runs",
) -> None:
    """Show how the numbers of runs that are kept by date went, and what was changed between them."""
    from autointerp.pipeline import drift_of

    typer.echo(f"history: {drift_of(config, out, last)}")


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The TOML file to write.")] = Path("autointerp.toml"),
    subject: Annotated[str | None, typer.Option(help="The model under study: hub id, path, package:NAME/PATH.")] = None,
    dictionary: Annotated[str | None, typer.Option(help="Folder, file, or OWNER/NAME@REV/SUB on the hub.")] = None,
    hook: Annotated[str | None, typer.Option(help="Module that it reads; else the one in its own config.")] = None,
    corpus: Annotated[str | None, typer.Option(help="Held-out documents: file, folder, URL or hf:ID.")] = None,
    explainer: Annotated[str | None, typer.Option(help="lexical, given:FILE, or PROVIDER:MODEL.")] = None,
    scorer: Annotated[str | None, typer.Option(help="embedding:MODEL, surprisal:MODEL, or PROVIDER:MODEL.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="The corpus holds pictures.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Write a commented config from a few answers. What no option says is asked for on a terminal."""
    from autointerp.init import completed, write

    given = {"subject": subject, "dictionary": dictionary, "hook": hook, "corpus": corpus}
    roles = {"explainer": explainer, "scorer": scorer}
    answers = completed(given | roles, pictures, typer.prompt if sys.stdin.isatty() else None)
    typer.echo(f"wrote {path}: {write(path, answers, force)}")
    typer.echo(f"next:  autointerp check {path}    # the plan: requests, tokens, price; spends nothing")
    typer.echo(f"then:  autointerp run {path}")


@app.command()
def doctor(
    config: Annotated[str | None, typer.Argument(help="A TOML file or the name of a preset.", metavar="CONFIG")] = None,
    set_: Set = None,
    out: Out = "runs",
) -> None:
    """Say what a run would miss on this machine. Nothing is downloaded, asked or spent."""
    from autointerp import toml
    from autointerp.doctor import examine, refuse_missing

    found = examine(toml.load(config, tuple(set_ or ())) if config is not None else None, out)
    table = Table(*(Column(name, overflow="fold") for name in ("what", "", "found", "what to do")))
    colours = {"ok": "green", "missing": "red", "note": "yellow"}
    for row in found:
        table.add_row(escape(row.what), Text(row.state, colours[row.state]), escape(row.found), escape(row.next_step))
    Console().print(table)
    refuse_missing(found, f"you asked whether {config or 'a run'} could start")


@app.command()
def check(config: Config, set_: Set = None) -> None:
    """Show the plan: stages, requests, tokens, price, circularity grades. Nothing is spent."""
    from autointerp import toml
    from autointerp.audit.roles import Roles
    from autointerp.llm.budget import refuse_unpriced
    from autointerp.pipeline import refuse_circular
    from autointerp.plan import plan

    loaded = toml.load(config, tuple(set_ or ()))
    made = plan(loaded)
    console = Console()
    stages = Table(
        "stage", "what it does", "requests", "input tokens", "output tokens", "price (USD)", title=loaded.name
    )
    for row in made.stages:
        stages.add_row(
            row.stage, row.what, *(f"{n:,}" for n in (row.requests, row.input_tokens, row.output_tokens)), row.price
        )
    console.print(stages)
    arms = Table("explainer", "scorer", "circularity", title="who grades whom")
    for explainer, scorer, grade in made.arms:
        arms.add_row(explainer, scorer, grade)
    console.print(arms)
    for note in made.notes:
        console.print(f"note: {note}", markup=False)
    refuse_circular(loaded, Roles(loaded))
    refuse_unpriced(loaded)


@app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(help="Folders of finished runs.", metavar="RUN...")],
    out: Annotated[str, typer.Option("--out", help="The folder for the report of all of them.")] = "runs",
) -> None:
    """Put the dictionaries of several finished runs side by side in one report. Nothing is asked or spent."""
    from autointerp.report.several.runs import compare

    typer.echo(f"report: {compare(runs, out) / 'report' / 'index.html'}")


@app.command()
def audit(run: Annotated[Path, typer.Argument(help="A finished run's directory.")]) -> None:
    """Say how much of a finished run's verdict is a model agreeing with itself. Nothing is asked or spent."""
    from autointerp.pipeline import audit

    finished = audit(run)
    typer.echo(f"report: {finished.report}")


@app.command()
def calibrate(
    config: Config,
    features: Annotated[int, typer.Option(help="Planted features of each of two dictionaries.", min=2)] = 12,
    set_: Set = None,
    out: Out = "runs",
) -> None:
    """Hold the judges of a config against planted features, whose truth is known, before you trust them."""
    from autointerp.pipeline import calibrate

    finished = calibrate(config, tuple(set_ or ()), out, features)
    typer.echo(f"report: {finished.report}")


def one_stage(name: str) -> Callable[..., None]:
    def command(config: Config, set_: Set = None, out: Out = "runs") -> None:
        from autointerp.pipeline import run

        run(config, tuple(set_ or ()), out, only=name)

    command.__doc__ = f"Run the {name} stage alone."
    return command


for _name in ("evidence", "explain", "score", "report"):
    app.command(_name)(one_stage(_name))


@app.command()
def collect(
    config: Config,
    set_: Set = None,
    out: Out = "runs",
    shard: Annotated[
        str | None, typer.Option(help="I/N: only the shards of worker I of N; without it, what is left, and merge.")
    ] = None,
) -> None:
    """Run the collect stage alone, or the share of one of several workers of it."""
    from autointerp.pipeline import run, run_shard

    if shard is None:
        run(config, tuple(set_ or ()), out, only="collect")
    else:
        run_shard(config, tuple(set_ or ()), out, shard)


@app.command()
def rate(
    run: Annotated[str, typer.Argument(help="The folder of a run on this machine.", metavar="RUN")],
    items: Annotated[int, typer.Option(help="How many items to rate.", min=1)] = 100,
    seed: Annotated[int, typer.Option(help="Which items: the same seed draws the same ones.")] = 0,
    port: Annotated[int, typer.Option(help="Of the page; 0 takes a free one.", min=0, max=65535)] = 0,
    rater: Annotated[str | None, typer.Option(help="Who rates; default is your user name.")] = None,
) -> None:
    """Rate explanations blind, by the rubric of the judge, on a page on this machine."""
    from autointerp.rate.server import serve
    from autointerp.ratings import user

    serve(run, items, seed, port, user() if rater is None else rater, typer.echo)


@exports.command("ratings")
def export_ratings(
    run: RunFolder, target: Annotated[Path, typer.Argument(help="The CSV to write.", metavar="OUT.csv")]
) -> None:
    """Write all ratings of a run by people into a CSV."""
    from autointerp.ratings import write_csv

    typer.echo(f"{write_csv(run, target):,} ratings in {target}")


@imports.command("ratings")
def import_ratings(
    run: RunFolder, source: Annotated[Path, typer.Argument(help="A CSV as export writes it.", metavar="IN.csv")]
) -> None:
    """Take the ratings of a CSV into a run: all of them, or none where a line is wrong."""
    from autointerp.rate.given import read
    from autointerp.rate.items import material

    new, there = read(run, source, material(run).tasks())
    typer.echo(f"{new:,} ratings taken in, {there:,} were there")


def main() -> None:
    """Run a command and turn what went wrong into a sentence and an exit code."""
    with logs:
        command()


def command() -> None:
    from autointerp.errors import GateFailed, UserError, WorkPending
    from autointerp.store import disk_full

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("httpx2", "httpx", "openai", "anthropic", "transformers", "huggingface_hub"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        logs.enter_context(progress.log_json(os.environ.get("AUTOINTERP_LOG_JSON")))
        code = app(standalone_mode=False)
    except UserError as error:
        end(str(error), 2)
    except WorkPending as error:
        end(str(error), 75)
    except GateFailed as error:
        end(str(error), 1)
    except typer.Abort:
        code = 130
    except Exception as error:
        # click's own usage errors carry a sentence; anything else is our mistake and keeps its trace
        if disk_full(error):
            end(f"The disk is full ({error}): free some space and run again, what is done is kept.", 2)
        if not hasattr(error, "format_message"):
            progress.quiet.exception("ended by a mistake of ours")
            raise
        end(f"{error.format_message()} Try autointerp --help.", 2)
    # An Exit comes back from typer as its code, an interrupt as 130, a command that ended well as None.
    if code == 130:
        end("Interrupted; nothing is lost: run the same command again.", 130)
    progress.quiet.info("ended", extra=progress.fields(exit=code or 0))
    sys.exit(code)


def end(sentence: str, code: int) -> None:
    print(sentence, file=sys.stderr)
    progress.quiet.error(sentence, extra=progress.fields(exit=code))
    sys.exit(code)
