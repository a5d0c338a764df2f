"""One HTML file that holds the whole report and asks the network for nothing.

Names, explanations and corpus text are hostile: templates escape everything, the script writes text and never
markup, and a content security policy allows exactly this page's own style and scripts, named by their hashes. The
library that draws charts is one of them; it interprets expressions itself, so nothing is made into code.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autointerp import assets
from autointerp.audit.circularity import MEANING
from autointerp.finished import Run
from autointerp.report import (
    audit,
    causal,
    comparing,
    comparing_figures,
    comparing_tables,
    drift,
    methods,
    payload,
    sentences,
    tables,
    watch,
)
from autointerp.report.data import GRADES, Report
from autointerp.report.metrics.labels import label
from autointerp.report.parts import charts
from autointerp.report.parts import strips as plots
from autointerp.report.sections import gates
from autointerp.report.words import wording

NOTHING = "'none'"


def render(report: Report) -> str:
    """The page. Equal reports give equal bytes."""
    script = (assets.templates() / "report.js").read_text("utf-8")
    shown = content(report)
    blocks = (*payload.blocks(report), *payload.chart_blocks(figures(shown)))
    return rendered("page.html.j2", report, shown, (script, charts.library()), script=Markup(script), blocks=blocks)


def render_audit(report: Report) -> str:
    """What a reviewer asks first, on a page of its own that runs no script."""
    return rendered("audit_page.html.j2", report, content(report))


def render_history(name: str, runs: Sequence[Run], frame: pd.DataFrame) -> str:
    """How the numbers of a name went from night to night, on a page that runs no script."""
    style = (assets.templates() / "report.css").read_text("utf-8")
    content = {
        "name": name,
        "version": assets.version(),
        "nights": drift.nights(runs),
        "lines": drift.lines(frame, runs),
        "size": (drift.WIDTH, drift.HEIGHT),
        "style": Markup(style),
        "policy": policy(style),
        "MEANING": MEANING,
    }
    return encodable(environment().get_template("history.html.j2").render(content))


def rendered(template: str, report: Report, shown: Mapping[str, Any], scripts: Sequence[str] = (), **more: Any) -> str:
    style = (assets.templates() / "report.css").read_text("utf-8")
    own = {"style": Markup(style), "policy": policy(style, *scripts)}  # not data
    return encodable(environment().get_template(template).render({"report": report, **own, **shown, **more}))


def encodable(page: str) -> str:
    """A lone surrogate in a name cannot be written to a file."""
    return page.encode("utf-8", "replace").decode("utf-8")


def policy(style: str, *scripts: str) -> str:
    """Nothing may load, connect or run except the style and the scripts whose hashes stand here."""
    allowed = f"style-src {digest(style)}; script-src {' '.join(map(digest, scripts)) or NOTHING}; img-src data:"
    return f"default-src {NOTHING}; {allowed}; base-uri {NOTHING}; form-action {NOTHING}"


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def content(report: Report) -> dict[str, Any]:
    """What the partial templates show, computed here so that they hold no arithmetic."""
    return {
        "lead": sentences.lead(report),
        "seconds": sentences.seconds(report),
        "approvals": sentences.circular_approvals(report),
        "tally": gates.tally(report.gates),
        "gates": tables.cells(report.gates),
        "moved": tables.changes(report, moved=True),
        "changes": tables.changes(report),
        "distrust": sentences.distrust(report),
        "selection": sentences.selection(report),
        "dead_note": sentences.dead_note(report),
        "unscored_note": sentences.unscored_note(report),
        "chains": tables.chains(report),
        "by_grade": tables.by_grade(report),
        "main": tables.main_table(report),
        "anchors": tables.anchor_tables(report),
        "others": tables.other_tables(report),
        "audit": audit.audit(report),
        "calibrations": tables.calibrations(report),
        "reliability": audit.reliability(report),
        "calibrated": sentences.calibrated(report),
        "carried": tables.generalisation(report),
        "forms": tables.by_form(report),
        "carried_note": sentences.generalisation(report),
        "causal": causal.section(report),
        "watch": watch.section(report),
        "chance_at": plots.chance_at(report),
        "by_size": comparing_figures.by_size(report),
        "compared": comparing.sentences(report),
        "figures": comparing_figures.figures(report),
        "trees": comparing_tables.trees(report),
        "comparisons": comparing_tables.tables(report),
        "effects": comparing_tables.effects(report),
        "absorbed": comparing_tables.absorbed(report),
        "concepts": comparing_tables.concepts(report),
        "roles": tables.cells(report.roles),
        "costs": tables.cells(report.costs),
        "reasons": tables.cells(report.unscored),
        "facts": tables.facts(report),
        "limits": methods.limits(report),
        "definitions": methods.definitions(report),
        "metrics": payload.listed_metrics(report),
        "GRADES": GRADES,
        "MEANING": MEANING,
    }


def figures(shown: Mapping[str, Any]) -> tuple[charts.Figure, ...]:
    """Every chart of the page."""
    own = shown["causal"]
    found = (own.figures, (item.figure for item in own.chains)) if own else ()
    return (*shown["by_size"], *shown["figures"], *filter(None, [shown["reliability"]]), *chain.from_iterable(found))


@cache
def environment() -> Environment:
    """Escaping is on for every template, whatever its name; an undefined name is an error, not a blank.

    One for all pages of a process: they share partials, and a template takes longer to compile than to fill.
    """
    made = Environment(
        loader=FileSystemLoader(assets.templates()),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: wording.visible(value) if type(value) is str else value,
    )
    words = ("count", "decimal", "signed", "interval", "percent", "model_name", "plural", "told")
    made.filters |= {name: getattr(wording, name) for name in words} | {"label": label}
    made.globals["strip_width"] = plots.STRIP_WIDTH
    return made
