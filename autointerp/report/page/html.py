"""One HTML file that holds the whole report and asks the network for nothing.

Names, explanations and corpus text are hostile: templates escape everything, the script writes text and never
markup, and a content security policy allows exactly this page's own style and scripts, named by their hashes. The
library that draws charts is one of them; it interprets expressions itself, so nothing is made into code.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from autointerp import assets
from autointerp.audit.circularity import MEANING
from autointerp.report.data import GRADES, Report
from autointerp.report.metrics.labels import label
from autointerp.report.page import payload
from autointerp.report.parts import charts, strips
from autointerp.report.sections import (
    audit,
    calibration,
    dictionaries,
    distrust,
    gates,
    generalisation,
    header,
    measurements,
    methods,
    provenance,
    watch,
    who,
)
from autointerp.report.sections.causal import section as causal
from autointerp.report.sections.sizes import section as sizes
from autointerp.report.words import wording

NOTHING = "'none'"
SECTIONS: dict[str, Callable[[Report], Any]] = {
    "header": header.section,
    "gates": gates.section,
    "calibration": calibration.section,
    "who": who.section,
    "dictionaries": dictionaries.section,
    "sizes": sizes.section,
    "audit": audit.section,
    "generalisation": generalisation.section,
    "causal": causal.section,
    "watch": watch.section,
    "distrust": distrust.section,
    "measurements": measurements.section,
    "provenance": provenance.section,
    "methods": methods.section,
}  # in the order of the page


def render(report: Report) -> str:
    """The page. Equal reports give equal bytes."""
    script = (assets.templates() / "report.js").read_text("utf-8")
    shown = content(report)
    blocks = (*payload.blocks(report), *payload.chart_blocks(figures(shown)))
    return rendered("page.html.j2", report, shown, (script, charts.library()), script=Markup(script), blocks=blocks)


def render_audit(report: Report) -> str:
    """What a reviewer asks first, on a page of its own that runs no script."""
    return rendered("audit_page.html.j2", report, content(report))


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
    """What the partial templates show, computed here so that they hold no arithmetic: a section under its name."""
    sections = {name: section(report) for name, section in SECTIONS.items()}
    return {**sections, "metrics": payload.listed_metrics(report), "GRADES": GRADES, "MEANING": MEANING}


def figures(shown: Mapping[str, Any]) -> tuple[charts.Figure, ...]:
    """Every chart of the page."""
    of_sizes, judges, of_causal = (shown[name] for name in ("sizes", "calibration", "causal"))
    found = [*of_sizes.by_size, *of_sizes.figures]
    if judges and judges.figure:
        found.append(judges.figure)
    if of_causal:
        found += [*of_causal.figures, *(chain.figure for chain in of_causal.chains)]
    return tuple(found)


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
    made.globals["strip_width"] = strips.STRIP_WIDTH
    return made
