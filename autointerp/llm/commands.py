"""The answers that were paid for: what is held, write it out, throw some away."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

app = typer.Typer(no_args_is_help=True, help=__doc__)


@app.command()
def stats() -> None:
    """Show what the ledger holds, by provider and model."""
    from autointerp.llm.ledger import Ledger, home

    with Ledger(home()) as ledger:
        found = ledger.holdings()
    table = Table("provider", "model", "replies", "bytes", "first (UTC)", "last (UTC)", title=str(home()))
    for row in found:
        table.add_row(row.provider, row.model, f"{row.replies:,}", f"{row.size:,}", row.first, row.last)
    table.add_row("all", "", f"{sum(row.replies for row in found):,}", f"{sum(row.size for row in found):,}", "", "")
    Console().print(table)


@app.command()
def export(
    path: Annotated[Path | None, typer.Argument(help="Where to; standard output without it.")] = None,
) -> None:
    """Write every reply with its request, one JSON object a line, oldest first."""
    from autointerp.llm.ledger import Ledger, home
    from autointerp.store import atomic

    with Ledger(home()) as ledger:
        lines = (json.dumps(row) + "\n" for row in ledger.rows())
        if path is None:
            sys.stdout.writelines(lines)
            return
        with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)


@app.command()
def batches(
    forget: Annotated[str | None, typer.Option(help="Forget this one; its requests are paid for anew.")] = None,
) -> None:
    """Show the batches whose answers are still to come."""
    from autointerp.errors import UserError
    from autointerp.llm.claims import Claims
    from autointerp.llm.ledger import Ledger, home

    with Ledger(home()) as ledger:
        claims = Claims(ledger)
        if forget is not None:
            batch = claims.batch(forget)
            if batch is None:
                asked = f"you asked to forget the batch {forget}"
                raise UserError(asked, "it is not open", "run `autointerp ledger batches`")
            claims.release(batch)
        found = claims.open()
    table = Table("batch", "provider", "model", "requests", "written down (UTC)", title=str(home()))
    for batch in found:
        name = batch.id or f"{batch.token} (not known to be accepted)"
        table.add_row(name, batch.provider, batch.model, f"{batch.requests:,}", f"{batch.created:%Y-%m-%d %H:%M}")
    Console().print(table)


@app.command()
def prune(
    days: Annotated[float | None, typer.Option(help="Only replies older than this many days.", min=0)] = None,
    model: Annotated[str | None, typer.Option(help="Only replies of this model; * and ? are wild.")] = None,
) -> None:
    """Throw replies away and shrink the file. What is asked for again has to be paid for again."""
    from autointerp.errors import UserError
    from autointerp.llm.ledger import Ledger, home

    if days is None and model is None:
        raise UserError("you asked to prune the ledger", "said nothing about what", "give --days, --model or both")
    with Ledger(home()) as ledger:
        typer.echo(f"{ledger.prune(days, model):,} replies thrown away")
