"""Rules about text: where they fire, what their neighbours contain, and which files are refused."""

import re
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autointerp import assets
from autointerp.errors import UserError
from autointerp.subjects import rules
from autointerp.subjects.planted import PIECE
from autointerp.subjects.rules import Rule

SHIPPED = rules.load("planted/rules.toml")
HELD = pd.read_parquet(assets.datasets() / "english/heldout.parquet")["text"].str[:600].tolist()[:120]
# Marks, brackets, quotes, names and words at which rules turn, to be put together in any way.
SCRAPS = ["a", "an ", "the ", "dog", "Dog", "DOG", "red", " ", "\n", ".", ",", ":", ";", "(", ")", "'", '"', "_", "-"]
SCRAPS += ["self.", "n't", "ing", "x", "1", "984", "1984", "=", "?", "“", "é", "is", "not ", "Europe", "running"]
TEXTS = st.lists(st.sampled_from(SCRAPS), max_size=24)


def slowly(rule: Rule, pieces: list[str]) -> tuple[bool, ...]:
    """Character by character: a token fires where one of its characters lies in a match."""
    held = {at for start, stop in rule.spans("".join(pieces)) for at in range(start, stop)}
    places = [sum(map(len, pieces[:number])) for number in range(len(pieces) + 1)]
    return tuple(any(at in held for at in range(start, stop)) for start, stop in pairwise(places))


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_token_fires_where_a_match_covers_one_of_its_characters(pieces: list[str]) -> None:
    for rule in SHIPPED.values():
        assert rule.marks(pieces) == slowly(rule, pieces)


@given(TEXTS, st.data())
@settings(max_examples=60, deadline=None)
def test_tokens_that_are_joined_fire_where_either_did(pieces: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, max(len(pieces) - 2, 0)))
    joined = [*pieces[:at], "".join(pieces[at : at + 2]), *pieces[at + 2 :]]
    for rule in SHIPPED.values():
        marks = rule.marks(pieces)
        assert rule.marks(joined) == (*marks[:at], *([any(marks[at : at + 2])] if joined else []), *marks[at + 2 :])


@given(TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_rule_lies_between_its_neighbours_on_any_text(pieces: list[str]) -> None:
    for rule in SHIPPED.values():
        between(rule, pieces)


def between(rule: Rule, pieces: list[str]) -> tuple[int, int, int]:
    """Assert it, and count the tokens that the narrower one, the rule and the broader one fire on."""
    assert rule.broader and rule.narrower
    narrow, own, broad = (one.marks(pieces) for one in (rule.narrower, rule, rule.broader))
    assert all(a <= b <= c for a, b, c in zip(narrow, own, broad, strict=True)), rule.id
    return sum(narrow), sum(own), sum(broad)


@pytest.mark.parametrize("rule", SHIPPED.values(), ids=SHIPPED)
def test_neighbours_are_false_on_real_text(rule: Rule) -> None:
    counts = [between(rule, PIECE.findall(text)) for text in HELD]
    narrow, own, broad = (sum(column) for column in zip(*counts, strict=True))
    assert narrow < own < broad


@pytest.mark.parametrize("rule", [rule for rule in SHIPPED.values() if rule.words], ids=lambda rule: rule.id)
def test_words_are_whole_words_in_either_case(rule: Rule) -> None:
    words = "|".join(sorted(map(re.escape, rule.words), key=len, reverse=True))
    slow = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.NOFLAG if rule.cased else re.IGNORECASE)
    for text in HELD[:20]:
        assert [match.span() for match in slow.finditer(text)] == list(rule.spans(text))


@pytest.mark.parametrize(
    ("name", "text", "fires"),
    [
        ("years", "In 1984 and 3050, 12 of x1984 came; 2099.", ["1984", "2099"]),
        ("names-inside", "We met Anna in Rome. Later, old Bob left.", ["Anna", "Rome", "Bob"]),
        ("ending-ing", "The king was singing of things; ing.", ["king", "singing"]),
        ("all-capitals", "A TCP packet for the USA, not Usa or UTF8.", ["TCP", "USA"]),
        ("snake-case", "call file_name or __init__ of _x, not name", ["file_name", "__init__", "_x"]),
        ("dotted-names", "self.name = os.path.join(a.) at 3.14. End.", ["self.name", "os.path.join"]),
        ("calls", "print(len (x), s.append(y))", ["print", "append"]),
        ("in-brackets", "a (big) dog (of the kind we all know so very well) [no]", ["big"]),
        ("in-quotes", "the `word' and \"it\" don't 'two words' “yes”", ["word", "it", "yes"]),
        ("hyphenated", "a well-known thing - no more-", ["well-known"]),
        ("contractions", "don't 'quote' the dog's' day", ["don't", "dog's"]),
        ("after-article", "An apple, a\nday and the banana; a pear", ["apple", "pear"]),
        ("colours", "Red and redder, WHITE_board; white", ["Red", "white"]),
        ("python-keywords", "def true(self): return True", ["def", "self", "return", "True"]),
        ("digits", "x12 of 7", ["12", "7"]),
        ("operators", "a == b + 'c'", ["=", "=", "+"]),
        ("animals", "Dogs chase a cat, not a category", ["Dogs", "cat"]),
        ("vehicles", "Two cars and a ship carried cargo", ["cars", "ship"]),
    ],
)
def test_shipped_rules_say_what_they_mean(name: str, text: str, fires: list[str]) -> None:
    assert [text[start:stop] for start, stop in SHIPPED[name].spans(text)] == fires


def test_tokens_without_text_never_fire() -> None:
    assert SHIPPED["digits"].marks(["", "1", "", "2", ""]) == (False, True, False, True, False)
    assert SHIPPED["digits"].marks([]) == ()


def test_words_of_classes_and_of_the_rule_itself_count_together(tmp_path: Path) -> None:
    path = written(tmp_path, kind="class", classes='classes = ["pet"]\nwords = "Ant"')
    rule = rules.load(path)["one"]
    assert rule.words == {"cat", "dog", "ant"}
    assert rule.broader and rule.broader.id == "one.broader" and rule.broader.says == "More."


def written(
    folder: Path,
    *,
    kind: str = "lexicon",
    classes: str = 'words = "cat dog"',
    broader: str = 'words = "ant cat dog owl"',
) -> Path:
    path = folder / "rules.toml"
    path.write_text(
        f'[rule.one]\nkind = "{kind}"\nsays = "Pets."\n{classes}\n'
        f'broader = {{ says = "More.", {broader} }}\nnarrower = {{ says = "Less.", words = "cat" }}\n'
        '[classes]\npet = "cat dog"\n',
        "utf-8",
    )
    return path


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "regex"}, "the rule 'one' is of the kind 'regex' and has no pattern"),
        ({"kind": "verse"}, "rule.one.kind is wrong"),
        ({"classes": 'classes = ["zoo"]\nwords = "cat"'}, "one names the class 'zoo', and there are pet"),
        ({"classes": 'words = "cat dog"\npattern = "x"'}, "one needs a pattern or words, one of them"),
        ({"classes": 'words = "dog owl"'}, "one.narrower holds cat that one must hold, with more beside"),
        ({"broader": 'words = "cat dog"'}, "one holds nothing less than all that one.broader must hold"),
        ({"broader": 'pattern = "(cat"'}, "the pattern of one.broader is none"),
        ({"broader": 'pattern = "x*"'}, "the pattern of one.broader matches nothing at all"),
        ({"broader": 'word = "cat"'}, "rule.one.broader.word is not a known key"),
        ({"classes": ""}, "the rule 'one' is of the kind 'lexicon' and has no words"),
        ({"classes": "words = cat"}, "it is not TOML"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(changes: dict[str, str], said: str, tmp_path: Path) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UserError, match=re.escape(said)) as error:
        rules.load(path)
    assert str(error.value).startswith(f"You asked for the rules in {path}, but ")
    assert "\n" not in str(error.value).removesuffix(": mend it.") or "TOML" in said


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such file"):
        rules.load(tmp_path / "none.toml")
    with pytest.raises(UserError, match=r"it holds no features\.csv"):
        rules.features_of(tmp_path)


def test_features_of_a_dictionary_are_read_by_number(tmp_path: Path) -> None:
    (tmp_path / "features.csv").write_text("feature,rule,correlation\n7,years,1.0\n0,animals,0.93\n", "utf-8")
    assert rules.features_of(tmp_path) == {7: "years", 0: "animals"}
