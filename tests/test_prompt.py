"""Text of others before a model: marks that it cannot forge, lines that it cannot end."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from autointerp.prompt import line, marked, neutral, plain


def balanced(text: str) -> bool:
    """Whether marks open and close in turn, and every pair of brackets is a mark."""
    marks = re.findall(r"\[\[|\]\]", text)
    alone = "[[[" not in text and "]]]" not in text
    return alone and marks == ["[[", "]]"] * (len(marks) // 2)


def bare(text: str) -> str:
    """Text without marks, and without the spaces at brackets that keep it from holding any."""
    return re.sub(r" *([\[\]]) *", r"\1", re.sub(r"\[\[|\]\]", "", text))


def squeezed(text: str) -> str:
    return re.sub(r" *([\[\]]) *", r"\1", text)


brackets = st.lists(st.text('[]a "\n', max_size=4), min_size=1, max_size=6)


@given(brackets, st.data())
def test_marks_are_balanced_whatever_the_pieces(pieces: list[str], data: st.DataObject) -> None:
    """Also where a pair of brackets lies across two tokens, or beside a mark."""
    fires = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    whole = "".join(pieces)
    text = marked(pieces, fires)
    assert balanced(text)
    runs = sum(now and not before for now, before in zip(fires, [False, *fires], strict=False))
    assert text.count("[[") == text.count("]]") == runs
    assert bare(text) == squeezed(whole)
    assert "[[" not in neutral(whole)
    assert "]]" not in neutral(whole)
    assert neutral(whole).replace(" ", "") == whole.replace(" ", "")


def test_text_without_brackets_is_shown_as_it_is() -> None:
    assert neutral("a [b] (c) [1][2] x[i]") == "a [b] (c) [1][2] x[i]"
    assert marked(("a", " b", " c", " d"), (False, True, True, False)) == "a[[ b c]] d"


@given(st.text())
def test_a_line_is_one_line_of_json_whatever_it_holds(text: str) -> None:
    written = line(text=text)
    assert len(written.splitlines()) == 1
    assert json.loads(written) == {"text": text}
    written.encode()  # no lone surrogate


@given(st.text())
def test_what_is_kept_of_a_model_can_be_printed(text: str) -> None:
    kept = plain(text)
    kept.encode()
    assert kept == kept.strip()
    assert len(kept.splitlines()) <= 1
