"""The page on which items are rated, and what it is told of an item: the explanation, the excerpt and its marks.

The page is the same for every item of every run with the same rubric. What an item is stays on this side: neither
dictionary, feature, explainer, control, stratum nor anybody's verdict is sent.
"""

import base64
import re
from collections.abc import Mapping
from itertools import groupby
from typing import Any

from markupsafe import Markup

from autointerp import assets
from autointerp.exhibit import on_patches
from autointerp.exhibit import shown as picture_of
from autointerp.rate.items import Task
from autointerp.ratings import SCALE
from autointerp.report.page.html import environment, policy
from autointerp.report.words.wording import visible
from autointerp.rubric import Rubric

STEP = re.compile(r"^([0-3]): *(\S.*)$", re.MULTILINE)


def render(rubric: Rubric) -> tuple[str, str]:
    """The page, and the content security policy that goes with it: it may ask its own address, and nothing else."""
    styles = [(assets.templates() / name).read_text("utf-8") for name in ("report.css", "rate.css")]
    style, script = "\n".join(styles), (assets.templates() / "rate.js").read_text("utf-8")
    meanings = dict(STEP.findall(rubric.text))
    page = (
        environment()
        .get_template("rate.html.j2")
        .render(
            style=Markup(style),  # our own files, not data
            script=Markup(script),
            scale=[(step, meanings.get(str(step), "")) for step in SCALE],
            rubric=rubric.text,
        )
    )
    return page, f"{policy(style, script)}; connect-src 'self'; frame-ancestors 'none'"


def view(task: Task, pictures: Mapping[int, bytes]) -> dict[str, Any]:
    """What a rater sees of an item. `pictures` are PNG files by context."""
    return {"explanation": visible(task.case.text), "spans": spans(task), "picture": picture(task, pictures)}


def spans(task: Task) -> list[tuple[str, bool]]:
    """The text in runs of marked and unmarked tokens; none where there is nothing to read."""
    excerpt, marks = task.shown.item.excerpt, task.shown.marks or ()
    tokens = [(excerpt.pieces[at], bool(marks[at]) if marks else False) for at in excerpt.in_text]
    if excerpt.grid is not None and not "".join(piece for piece, _ in tokens).strip():
        return []
    runs = groupby(tokens, key=lambda token: token[1])
    return [(visible("".join(piece for piece, _ in run)), mark) for mark, run in runs]


def picture(task: Task, pictures: Mapping[int, bytes]) -> str | None:
    """The picture with its marks drawn on, as an address that holds it."""
    excerpt = task.shown.item.excerpt
    if excerpt.grid is None:
        return None
    drawn = picture_of(pictures[excerpt.context], excerpt.grid, tuple(on_patches(excerpt, task.shown.marks)))
    return f"data:{drawn.media_type};base64,{base64.b64encode(drawn.data).decode()}"
