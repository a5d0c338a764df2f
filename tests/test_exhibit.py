"""Pictures of a request: a line around what is marked and nowhere else, and nothing told beside them."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image as Picture

from autointerp import rubric
from autointerp.config import LLMExplainer
from autointerp.exhibit import COLOUR, Exhibits, in_words, outline, shown
from autointerp.explain import llm
from autointerp.judge import asking, detection, fuzzing, specificity
from autointerp.llm.protocol import Request
from autointerp.records import Excerpt, Grid, Item
from tests import sighted

SECRET = "zyzzyva"
flags_of_any_shape = st.tuples(st.integers(1, 7), st.integers(1, 7)).flatmap(
    lambda shape: st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda flags: np.array(flags).reshape(shape)
    )
)


def png(size: tuple[int, int] = (32, 32), colour: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    target = io.BytesIO()
    Picture.new("RGB", size, colour).save(target, "PNG")
    return target.getvalue()


def picture(flags: NDArray[np.bool_], context: int = 0, loud: float = 1.0, before: str = "", behind: str = "") -> Item:
    """An item with a picture that fires where flags [rows, columns] say, perhaps with text before and behind it."""
    grid = Grid(1, *flags.shape)
    pieces = (before, *[""] * flags.size, *([behind] if behind else []))
    activations = (0.0, *(loud * flags.ravel()).tolist(), *([0.0] if behind else []))
    excerpt = Excerpt(context, 0, context, pieces, activations, grid, f"{SECRET} {context}")
    return Item(excerpt, "bin0" if flags.any() else "random", bool(flags.any()), 1.0)


def drawn(n: int, seed: int = 0, side: int = 4) -> list[Item]:
    """Half firing in two neighbouring patches, half silent."""
    rng = np.random.default_rng(seed)
    found = []
    for context in range(n):
        flags = np.zeros((side, side), dtype=bool)
        if context % 2:
            row, column = rng.integers(side), rng.integers(side - 1)
            flags[row, column : column + 2] = True
        found.append(picture(flags, context, loud=1.0 + context))
    return found


def pictures(items: list[Item]) -> dict[int, bytes]:
    """A picture of its own grey for each context."""
    return {item.excerpt.context: png(colour=(item.excerpt.context + 1,) * 3) for item in items}


# the line


def drawn_line(flags: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Which pixels are pink in a white picture whose patches are squares of this side."""
    canvas = Picture.new("RGB", (flags.shape[1] * side, flags.shape[0] * side), "white")
    outline(canvas, Grid(0, *flags.shape), flags.ravel().tolist())
    values = np.asarray(canvas)
    pink = (values == COLOUR).all(axis=-1)
    assert (values[~pink] == 255).all()
    return pink


def is_border(flags: NDArray[np.bool_], row: int, column: int, down: int, right: int) -> bool:
    """Whether a patch and its neighbour are on two sides of a line; outside the picture nothing is flagged."""
    other = (row + down, column + right)
    inside = all(0 <= at < n for at, n in zip(other, flags.shape, strict=True))
    return bool(flags[row, column]) != (inside and bool(flags[other]))


@settings(max_examples=60, deadline=None)
@given(flags_of_any_shape, st.sampled_from([24, 37, 64]))
def test_the_line_goes_around_groups_of_marked_patches_and_nowhere_else(flags: NDArray[np.bool_], side: int) -> None:
    pink = drawn_line(flags, side)
    assert pink.any() == flags.any()
    for row, column in np.ndindex(*flags.shape):
        patch = pink[row * side : (row + 1) * side, column * side : (column + 1) * side]
        assert not patch[4:-4, 4:-4].any()  # no line across a patch
        along = slice(4, -4)
        for down, right, edge in (
            (-1, 0, patch[0, along]),
            (1, 0, patch[-1, along]),
            (0, -1, patch[along, 0]),
            (0, 1, patch[along, -1]),
        ):
            assert edge.all() if is_border(flags, row, column, down, right) else not edge.any()


def test_patches_that_do_not_divide_the_picture_evenly_are_enclosed_all_the_same() -> None:
    canvas = Picture.new("RGB", (257, 259), "white")
    outline(canvas, Grid(0, 7, 7), [True] * 49)
    pink = (np.asarray(canvas) == COLOUR).all(axis=-1)
    assert pink[0].all() and pink[-1].all() and pink[:, 0].all() and pink[:, -1].all()
    assert not pink[4:-4, 4:-4].any()


@pytest.mark.parametrize("flags", [(), (False,) * 16])
def test_a_picture_without_marks_has_no_line(flags: tuple[bool, ...]) -> None:
    cells = (*sighted.NAMES, *sighted.NAMES)
    image = shown(sighted.png(cells), Grid(0, 4, 4), flags)
    assert sighted.outlined(image) == [False] * 16
    assert tuple(sighted.cells_of(image)) == cells


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(sighted.NAMES), min_size=16, max_size=16), st.integers(0, 2**16 - 1))
def test_what_is_marked_and_shown_can_be_read_off_the_file(cells: list[str], mask: int) -> None:
    """Whatever the colours beside it: the line is thin, and JPEG must not smear it."""
    flags = tuple(bool(mask >> at & 1) for at in range(16))
    image = shown(sighted.png(cells), Grid(0, 4, 4), flags)
    assert sighted.cells_of(image) == cells
    assert sighted.outlined(image) == list(flags)


# the file


def test_small_pictures_are_enlarged_to_one_size_and_large_ones_are_left_alone() -> None:
    grid = Grid(0, 4, 4)
    sizes = {side: sighted.decoded(shown(png((side, side)), grid, ())).shape[:2] for side in (32, 64, 128, 224, 336)}
    assert sizes == {32: (256, 256), 64: (256, 256), 128: (256, 256), 224: (224, 224), 336: (336, 336)}
    assert sighted.decoded(shown(png((64, 32)), grid, ())).shape[:2] == (128, 256)


def test_a_picture_is_the_same_file_every_time() -> None:
    source, grid, flags = sighted.png(sighted.NAMES * 2), Grid(0, 4, 4), (True,) + (False,) * 15
    first = shown(source, grid, flags)
    shown.cache_clear()
    second = shown(source, grid, flags)
    assert first is not second
    assert first == second
    assert first.media_type == "image/jpeg"


# the lines of a request


def test_pictures_are_numbered_in_the_order_of_their_lines_and_texts_have_none() -> None:
    items = drawn(4)
    text = Item(Excerpt(9, 8, 9, (" a", " boat"), (0.0, 1.0)), "bin0", True, 1.0)
    exhibits = Exhibits(pictures(items))
    order = [items[2], text, items[0], items[2]]
    lines = [json.loads(exhibits.line(i.excerpt, None, in_words(i.excerpt), id=at)) for at, i in enumerate(order)]
    assert lines == [{"id": 0, "image": 0}, {"id": 1, "text": " a boat"}, {"id": 2, "image": 1}, {"id": 3, "image": 2}]
    greys = [int(sighted.decoded(image)[128, 128, 0]) for image in exhibits.images]
    assert greys == [3, 1, 3]


def test_a_text_alone_is_the_line_that_it_was_before_there_were_pictures() -> None:
    excerpt = Excerpt(0, 8, 0, (" the", " [[boat", "]"), (0.0, 2.0, 2.0))
    exhibits = Exhibits({})
    marked = exhibits.line(excerpt, excerpt.fires, in_words(excerpt, excerpt.fires), id=3)
    assert marked == '{"id":3,"text":" the[[ [ [boat] ]]"}'
    assert exhibits.line(excerpt, None, in_words(excerpt)) == '{"text":" the [ [boat]"}'
    assert exhibits.images == ()


def test_the_text_around_a_picture_is_shown_with_its_own_marks() -> None:
    flags = np.array([[True, False]])
    item = picture(flags, before="look", behind=" a boat")
    excerpt = item.excerpt
    assert in_words(excerpt) == {"text": "look a boat"}
    assert in_words(excerpt, [True, True, False, False]) == {"text": "[[look]] a boat"}
    assert in_words(excerpt, excerpt.fires) == {"text": "look a boat"}
    assert in_words(picture(flags, behind=" ").excerpt) == {}


def texts_of(request: Request) -> str:
    return json.dumps([request.shared, request.content, request.schema]) + "".join(
        image.data.decode("latin-1") for image in request.images
    )


def judged(items: list[Item], question: Any, name: str, explanation: str = "boats") -> Request:
    shown = question.show(items, np.random.default_rng(0))
    return asking.request(question, explanation, shown, rubric.load(f"{name}_images"), 100, pictures=pictures(items))


def explained(items: list[Item], **more: Any) -> Request:
    role = LLMExplainer(kind="llm", provider="scripted", model="m", **more)
    return llm.request(items, role, rubric.load("explain_images"), pictures=pictures(items))


def test_the_label_of_a_picture_reaches_no_model() -> None:
    items = drawn(20)
    assert all(SECRET in item.excerpt.label for item in items)
    requests = [judged(items, q, n) for n, q in asking.QUESTIONS.items() if n != "simulation"]
    for request in (explained(items), explained(items, show_values=True), *requests):
        assert len(request.images) > 5
        assert SECRET not in texts_of(request)


@pytest.mark.parametrize(("name", "question"), [("fuzzing", fuzzing), ("specificity", specificity)])
def test_a_judge_sees_lines_around_the_marks_that_the_question_is_about(name: str, question: Any) -> None:
    items = drawn(24)
    shown = question.show(items, np.random.default_rng(0))
    request = judged(items, question, name)
    assert len(request.images) == len(shown)
    for one, image in zip(shown, request.images, strict=True):
        assert sighted.outlined(image) == list(one.marks[1:17])
        assert sum(one.marks) == 2
        assert (list(one.marks) == list(one.item.excerpt.fires)) == one.fires


def test_detection_shows_no_marks() -> None:
    request = judged(drawn(24), detection, "detection")
    assert request.images
    assert all(sighted.outlined(image) == [False] * 16 for image in request.images)


def test_an_explainer_sees_lines_around_firings_alone_strongest_first() -> None:
    items = drawn(12)
    request = explained(items, examples=3, silent=2)
    lines = request.content.split("\n")
    assert lines == ["ACTIVE", '{"image":0}', '{"image":1}', '{"image":2}', "SILENT", '{"image":3}', '{"image":4}']
    marks = [sighted.outlined(image) for image in request.images]
    firing = {item.excerpt.fires[1:] for item in items if item.fires}
    assert all(tuple(mark) in firing for mark in marks[:3])
    assert marks[3:] == [[False] * 16] * 2
    strongest = max(items, key=lambda item: item.excerpt.largest)
    assert marks[0] == list(strongest.excerpt.fires[1:])


def test_each_outlined_group_has_one_value_from_the_top_down() -> None:
    values = np.array([[0, 0, 0, 4], [2, 1, 0, 0], [3, 2, 0, 0], [0, 0, 10, 0]], dtype=float)
    item = picture(values > 0)
    excerpt = Excerpt(0, 0, 0, item.excerpt.pieces, (0.0, *values.ravel().tolist()), item.excerpt.grid)
    assert llm.loudness(excerpt, 10.0) == [4, 3, 10]
    request = explained([Item(excerpt, "bin0", True, 1.0)], show_values=True)
    assert request.content == 'ACTIVE\n{"image":0,"activations":[4,3,10]}'


def test_an_explanation_and_a_control_come_with_the_same_files() -> None:
    items = drawn(20)
    own, control = (judged(items, detection, "detection", text) for text in ("boats", "cows"))
    assert own.images == control.images
    assert own.content.split("\n")[1:] == control.content.split("\n")[1:]
