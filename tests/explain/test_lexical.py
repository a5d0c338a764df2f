"""The explainer that counts words: its arithmetic, its alignment of words and tokens, its sentence."""

from collections import Counter
from math import log, sqrt

import pytest

from autointerp.explain import lexical
from autointerp.explain.lexical import Associations, Background, associate, label_words, log_odds, sentence, words
from autointerp.records import Excerpt, Grid


def excerpt(*pieces: str, at: dict[int, float] | None = None, context: int = 0) -> Excerpt:
    """An excerpt of these tokens that fires at the given ones."""
    fired = at or {}
    return Excerpt(context, 0, 0, pieces, tuple(fired.get(i, 0.0) for i in range(len(pieces))))


# log-odds


def test_log_odds_is_the_worked_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    # Observed: tea 3, milk 1 (n = 4). Background: tea 2, milk 8 (n = 10). A prior of 10 words gives tea 10 * 2/10 = 2
    # and milk 8. For tea: ours 3 + 2 = 5 of 4 + 10 = 14, theirs 2 + 2 = 4 of 20.
    #   difference ln(5 / 9) - ln(4 / 16), variance 1/5 + 1/4
    # For milk: ours 1 + 8 = 9 of 14, theirs 8 + 8 = 16 of 20: ln(9 / 5) - ln(16 / 4), variance 1/9 + 1/16
    monkeypatch.setattr(lexical, "PRIOR_WORDS", 10.0)
    found = dict(log_odds(Counter(tea=3, milk=1), Counter(tea=2, milk=8)))
    assert found["tea"] == pytest.approx((log(5 / 9) - log(4 / 16)) / sqrt(1 / 5 + 1 / 4))
    assert found["milk"] == pytest.approx((log(9 / 5) - log(16 / 4)) / sqrt(1 / 9 + 1 / 16))


def test_a_word_the_background_never_held_counts_as_half_a_word_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # prior 10 * 0.5 / 10 = 0.5: ours 2 + 0.5 of 2 + 10, theirs 0 + 0.5 of 10 + 10
    monkeypatch.setattr(lexical, "PRIOR_WORDS", 10.0)
    ((word, z),) = log_odds(Counter(comet=2), Counter(milk=10))
    assert word == "comet"
    assert z == pytest.approx((log(2.5 / 9.5) - log(0.5 / 19.5)) / sqrt(1 / 2.5 + 1 / 0.5))


def test_log_odds_ranks_ties_by_word_and_is_empty_without_words() -> None:
    assert [w for w, _ in log_odds(Counter(b=1, a=1), Counter(a=5, b=5))] == ["a", "b"]
    assert log_odds(Counter(), Counter(a=1)) == []
    assert log_odds(Counter(a=1), Counter()) == []


def test_the_same_share_on_both_sides_is_no_association() -> None:
    ((_, tea), (_, milk)) = log_odds(Counter(tea=5, milk=5), Counter(tea=50, milk=50))
    assert tea == pytest.approx(0)
    assert milk == pytest.approx(0)


# alignment


def test_a_word_of_several_pieces_has_the_largest_activation_of_them() -> None:
    one = excerpt("The", " har", "bour", "master", " sl", "eeps", at={2: 1.5, 3: 0.5, 4: 0.2})
    assert words(one) == [("the", 0.0), ("harbourmaster", 1.5), ("sleeps", 0.2)]


def test_several_words_of_one_piece_share_its_activation() -> None:
    assert words(excerpt("a b", " c", at={0: 2.0})) == [("a", 2.0), ("b", 2.0), ("c", 0.0)]


def test_a_piece_that_ends_inside_the_next_word_counts_for_both() -> None:
    assert words(excerpt("one tw", "o three", at={1: 1.0})) == [("one", 0.0), ("two", 1.0), ("three", 1.0)]


def test_marks_line_breaks_and_joined_words() -> None:
    one = excerpt("Don", "'t", " stop", ",", " well-", "known", "\n", "\n", "(", at={1: 1.0, 3: 2.0, 6: 3.0, 8: 4.0})
    assert words(one) == [
        ("don't", 1.0),
        ("stop", 0.0),
        (",", 2.0),
        ("well-known", 0.0),
        ("\n", 3.0),
        ("\n", 0.0),
        ("(", 4.0),
    ]


def test_accents_other_scripts_and_signs_outside_the_basic_plane() -> None:
    one = excerpt("Über", " naïve", " 東京", "🌊", " été", at={0: 1.0, 2: 2.0, 3: 3.0})
    assert words(one) == [("über", 1.0), ("naïve", 0.0), ("東京", 2.0), ("🌊", 3.0), ("été", 0.0)]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_firing_on_any_byte_of_a_character_is_a_firing_on_it(at: int) -> None:
    """Byte-level tokens that are the rest of a character have an empty piece (subjects.text)."""
    one = excerpt("a ", "🌊", "", "", " b", at={at: 1.0})
    assert words(one) == [("a", 0.0), ("🌊", 1.0), ("b", 0.0)]
    cafe = excerpt("a", " caf", "é", "", at={at: 1.0})
    assert words(cafe) == [("a", 0.0), ("café", 1.0)]


def test_the_rest_of_a_character_does_not_fire_for_the_word_after_it() -> None:
    assert words(excerpt("é", "", "b c", at={1: 1.0})) == [("éb", 1.0), ("c", 0.0)]
    assert words(excerpt("🌊", "", "b", at={1: 1.0})) == [("🌊", 1.0), ("b", 0.0)]


def test_an_empty_excerpt_has_no_words() -> None:
    assert words(excerpt()) == []
    assert words(excerpt("", " ")) == []


# association

PLAIN = [excerpt("the", " sea", " was", " grey", " that", f" {day}", context=i) for i, day in enumerate("abcdefgh")]


def test_firings_count_by_their_strength_and_words_stand_in_three_places() -> None:
    background = Background.of(PLAIN)
    assert background.occurrences["sea"] == background.excerpts["sea"] == 8
    assert "sea" in background.common
    assert "a" not in background.common
    firing = [excerpt("salt", " boat", " sank", at={1: 2.0}), excerpt("salt", " boat", " swam", at={1: 1.0})]
    found = associate(firing, background, maximum=2.0)
    # "boat" has 2/2 + 1/2 firings' worth on it, and so has "salt" before it
    assert [word for word, _ in found.on] == ["boat"]
    assert found.on == tuple(log_odds({"boat": 1.5}, background.occurrences))
    assert found.before == tuple(log_odds({"salt": 1.5}, background.occurrences))
    assert [word for word, _ in found.near] == ["salt"]  # sank and swam were seen once each


def test_a_word_in_one_excerpt_alone_is_not_named() -> None:
    background = Background.of(PLAIN * 5)
    twice = [excerpt("boat", " one", at={0: 1.0}), excerpt("boat", " two", at={0: 1.0})]
    rare = excerpt("quartz", " quartz", " quartz", " quartz", at={0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0})
    found = associate([*twice, rare], background, maximum=1.0)
    assert [word for word, _ in found.on] == ["boat"]
    assert "quartz" not in sentence(found, 6)


def test_words_that_are_everywhere_say_nothing_of_the_surroundings() -> None:
    background = Background.of(PLAIN)
    firing = [excerpt("the", " sea", " boat", " rope", at={2: 1.0}, context=i) for i in range(4)]
    near = [word for word, _ in associate(firing, background, 1.0).near]
    assert "rope" in near
    assert "sea" not in near
    assert "the" not in near
    assert "boat" not in near


def test_the_case_of_a_word_does_not_tell_it_apart() -> None:
    firing = [excerpt("Boat", at={0: 1.0}), excerpt("BOAT", at={0: 1.0}), excerpt("boat", at={0: 1.0})]
    assert [word for word, _ in associate(firing, Background.of(PLAIN), 1.0).on] == ["boat"]


# the sentence


def found(
    on: dict[str, float] | None = None, before: dict[str, float] | None = None, near: dict[str, float] | None = None
) -> Associations:
    return Associations(*(tuple((part or {}).items()) for part in (on, before, near)))


@pytest.mark.parametrize(
    ("associations", "expected"),
    [
        (found({"boat": 9.0}), "“boat”."),
        (found({"boat": 9.0, "sail": 3.0, "the": 1.0}), "“boat”, “sail”."),
        (found({"boat": 9.0}, {"a": 5.0, "one": 4.5, "two": 4.0}), "“boat”, after “a”, “one”."),
        (found({"boat": 9.0}, {"a": 3.0}), "“boat”."),  # what comes before has to stand out twice as much
        (found({"boat": 9.0}, {"boat": 8.0}), "“boat”."),
        (found({"boat": 9.0}, near={"sea": 4.0}), "“boat”, in text with “sea”."),
        (found(before={"a": 5.0}, near={"sea": 4.0}), "After “a”, in text with “sea”."),
        (found(near={"sea": 4.0}), "In text with “sea”."),
        (found({"\n": 9.0, ",": 8.0, ".": 7.0, "(": 6.0, ")": 5.0}),
         "Line breaks, commas, full stops, opening brackets, closing brackets."),
        (found({"boat": 1.9}), ""),
        (found(), ""),
    ],
)  # fmt: skip
def test_the_wording(associations: Associations, expected: str) -> None:
    assert sentence(associations, 6) == expected


def test_no_more_words_than_asked_for() -> None:
    many = found({word: 9.0 - at for at, word in enumerate("abcd")}, near={"x": 4.0, "y": 3.0, "z": 2.5})
    assert sentence(many, 2) == "“a”, “b”, in text with “x”, “y”."


# labels


def picture(label: str, loud: float = 0.0, context: int = 0) -> Excerpt:
    """Four patches, of which the second is as loud as it says and the third half as loud."""
    return Excerpt(context, 0, context, ("",) * 4, (0.0, loud, loud / 2, 0.0), Grid(0, 2, 2), label)


def test_the_words_of_a_label_count_once_each_with_the_largest_activation() -> None:
    assert label_words(picture("A red Boat, and a boat's mast")) == ["a", "red", "boat", "and", "boat's", "mast"]
    assert label_words(picture("")) == []
    background = Background.of([picture(label) for label in ("red boat", "cow", "cow", "blue")])
    firing = [picture("red boat boat", 4.0), picture("boat", 2.0), picture("red cow", 1.0)]
    found = associate(firing, background, maximum=4.0)
    # red has 4/4 + 1/4, boat 4/4 + 2/4; cow was seen in one excerpt alone
    assert found.on == tuple(
        (word, z)
        for word, z in log_odds({"red": 1.25, "boat": 1.5, "cow": 0.25}, background.occurrences)
        if word != "cow"
    )
    assert found.before == found.near == ()


def test_the_background_holds_labels_beside_texts() -> None:
    background = Background.of([picture("red boat boat"), picture("a cow"), excerpt("a", " boat")])
    assert background.occurrences == {"red": 1, "boat": 2, "a": 2, "cow": 1}
    assert background.excerpts == background.occurrences
    assert background.common == {"red", "boat", "a", "cow"}


def test_a_word_that_is_in_all_labels_says_nothing_of_one() -> None:
    background = Background.of([picture(f"photo of a {thing}") for thing in ["boat"] * 5 + ["cow"] * 95])
    firing = [picture("photo of a boat", 2.0, at) for at in range(20)]
    assert sentence(associate(firing, background, 2.0), 6) == "“boat”."


def test_a_picture_without_a_label_has_no_words_and_patches_fire_for_no_word_before_them() -> None:
    background = Background.of([picture("cow")] * 9)
    assert associate([picture("", 2.0)], background, 2.0) == Associations((), (), ())
    beside = Excerpt(0, 0, 0, ("look", "", "", " there"), (0.0, 2.0, 2.0, 1.0), Grid(1, 1, 2))
    assert words(beside) == [("look", 0.0), ("there", 1.0)]
