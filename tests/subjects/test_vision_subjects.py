"""Subjects that see: their positions are patches in the order of the picture, and their outputs the library's own."""

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModel,
    ConvNextConfig,
    ConvNextImageProcessor,
    ConvNextModel,
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    ResNetConfig,
    ResNetModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
    set_seed,
)

from autointerp.collect.prepare import check_fit
from autointerp.config import PictureConfig, PositionsConfig, SubjectConfig
from autointerp.dictionaries import Dictionary
from autointerp.errors import UserError
from autointerp.job import Site
from autointerp.records import Grid
from autointerp.subjects.load import load
from autointerp.subjects.positions import PositionRule
from autointerp.subjects.vision import CLASS, PATCH, Eye, VisionSubject, grid_of
from tests.conftest import SIDE, VISION, image_processor
from tests.subjects.pictures import noise, seen, spot

PICTURES = [noise(0), noise(1, 50, 32), noise(2, 32, 80), noise(3, 97, 61), noise(4, 20, 20)]


def vit_processor() -> ViTImageProcessor:
    return ViTImageProcessor(size={"height": SIDE, "width": SIDE})


def vit() -> tuple[nn.Module, Any]:
    return ViTModel(ViTConfig(**VISION), add_pooling_layer=True), vit_processor()


def clip_vision() -> tuple[nn.Module, Any]:
    return CLIPVisionModel(CLIPVisionConfig(**VISION)), image_processor()


def registers() -> tuple[nn.Module, Any]:
    return Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**VISION, num_register_tokens=3)), vit_processor()


def resnet() -> tuple[nn.Module, Any]:
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return ResNetModel(config), ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=1.0)


def convnext() -> tuple[nn.Module, Any]:
    config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, patch_size=4)
    return ConvNextModel(config), image_processor()


# name: how it is made, the hook, positions in front of the patches, side of the grid
MODELS: dict[str, tuple[Callable[[], tuple[nn.Module, Any]], str, int, int]] = {
    "vit": (vit, "layers.1", 1, 4),
    "clip": (clip_vision, "encoder.layers.1", 1, 4),
    "registers": (registers, "encoder.layer.1", 4, 4),
    "resnet": (resnet, "encoder.stages.0", 0, 8),
    "convnext": (convnext, "encoder.stages.1", 0, 4),
}


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, VisionSubject]:
    """Every model, saved and loaded again."""
    found = {}
    for name, (make, *_) in MODELS.items():
        set_seed(0)
        model, processor = make()
        path = tmp_path_factory.mktemp(name)
        model.save_pretrained(path)
        processor.save_pretrained(path)
        subject = load(SubjectConfig(model=str(path), device="cpu"))
        assert isinstance(subject, VisionSubject)
        found[name] = subject
    return found


def looked(subject: VisionSubject, hook: str, pictures: list[Image.Image]) -> tuple[Tensor, list[Any]]:
    """Hook outputs [n, positions, d] by the road that a run takes, and the contexts."""
    contexts = seen(subject, [hook], pictures)
    outputs = subject.hidden(
        [one.tokens for one in contexts],
        subject.length([hook], 128),
        [hook],
        [one.image for one in contexts],
    )
    return outputs[hook], contexts


def plain(subject: VisionSubject, hook: str, pictures: list[Image.Image]) -> Tensor:
    """What the module puts out when the model reads what its processor makes of the pictures."""
    caught: list[Any] = []
    handle = subject.model.get_submodule(hook).register_forward_hook(lambda _m, _i, output: caught.append(output))
    pixels = [torch.as_tensor(subject.eye.processor(p, return_tensors="pt")["pixel_values"]) for p in pictures]
    with torch.no_grad():
        subject.model(torch.cat(pixels))
    handle.remove()
    value = caught[0][0] if isinstance(caught[0], tuple) else caught[0]
    assert isinstance(value, Tensor)
    return value


# ---- outputs


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_the_model_on_what_its_processor_makes(
    name: str, subjects: dict[str, VisionSubject]
) -> None:
    subject, hook = subjects[name], subjects[name].resolve(MODELS[name][1])
    found, _ = looked(subject, hook, PICTURES)
    expected = plain(subject, hook, PICTURES)
    if expected.ndim == 4:
        n, channels, height, width = expected.shape
        rows = [expected[:, :, r, c] for r in range(height) for c in range(width)]
        expected = torch.stack(rows, dim=1)
        assert expected.shape == (n, height * width, channels)
    # Half a level of rounding is all that a picture loses on its way through a PNG file.
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * float(expected.std()))


@pytest.mark.parametrize("name", ["vit", "clip", "registers"])
def test_outputs_of_layers_are_the_hidden_states_of_the_library(name: str, subjects: dict[str, VisionSubject]) -> None:
    subject, hook = subjects[name], MODELS[name][1]
    found, contexts = looked(subject, subject.resolve(hook), PICTURES)
    with torch.no_grad():
        states = subject.model(subject.eye.pixels([c.image for c in contexts]), output_hidden_states=True)
    torch.testing.assert_close(found, states.hidden_states[2])


@pytest.mark.parametrize("name", MODELS)
def test_what_is_kept_of_a_picture_is_what_the_model_saw(name: str, subjects: dict[str, VisionSubject]) -> None:
    eye = subjects[name].eye
    assert eye.size == (SIDE, SIDE)
    for picture in PICTURES:
        kept = eye.see(picture)
        expected = torch.as_tensor(eye.processor(picture, return_tensors="pt")["pixel_values"])[0]
        level = float(eye.scale / eye.std.min())
        assert (eye.pixels([kept])[0] - expected).abs().max() <= 0.5001 * level
        assert Image.open(io.BytesIO(kept)).size == (SIDE, SIDE)
        again = Image.open(io.BytesIO(kept))
        assert eye.see(again) == kept  # a picture that was seen is seen the same again


def test_several_hooks_come_from_one_pass(subjects: dict[str, VisionSubject]) -> None:
    subject, hooks = subjects["vit"], ["layers.0", "layers.1"]
    contexts = seen(subject, hooks, PICTURES)
    images = [one.image for one in contexts]
    together = subject.hidden([one.tokens for one in contexts], 17, hooks, images)
    for hook in hooks:
        assert torch.equal(together[hook], subject.hidden([], 17, [hook], images)[hook])
    assert not torch.equal(together["layers.0"], together["layers.1"])


@pytest.mark.parametrize("name", MODELS)
def test_outputs_do_not_depend_on_the_batch(name: str, subjects: dict[str, VisionSubject]) -> None:
    subject, hook = subjects[name], subjects[name].resolve(MODELS[name][1])
    together, _ = looked(subject, hook, PICTURES)
    order = [4, 0, 2, 1, 3]
    for batch in (order[:1], order[1:3], order[2:]):
        part, _ = looked(subject, hook, [PICTURES[at] for at in batch])
        torch.testing.assert_close(part, together[batch])


def test_the_shuffled_subject_has_the_same_weights_elsewhere(subjects: dict[str, VisionSubject]) -> None:
    subject = subjects["vit"]
    shuffled = subject.shuffled(1)
    pairs = list(zip(subject.model.parameters(), shuffled.model.parameters(), strict=True))
    for own, other in pairs:
        assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)
    assert any(not torch.equal(own, other) for own, other in pairs)
    assert shuffled.layout(("layers.1",)) == subject.layout(("layers.1",))
    found, _ = looked(shuffled, "layers.1", PICTURES)
    assert not torch.allclose(found, looked(subject, "layers.1", PICTURES)[0], atol=0.1)


# ---- positions


@pytest.mark.parametrize("name", MODELS)
def test_positions_are_patches_behind_class_and_register_tokens(name: str, subjects: dict[str, VisionSubject]) -> None:
    subject, (_, hook, start, side) = subjects[name], MODELS[name]
    (context,) = seen(subject, [subject.resolve(hook)], PICTURES[:1])
    assert context.grid == Grid(start, side, side)
    assert context.tokens == [CLASS] * start + [PATCH] * side * side
    assert len(context.pieces) == len(context.tokens) == subject.length([subject.resolve(hook)], 5)
    assert not any(context.pieces)


@pytest.mark.parametrize(
    ("name", "hook"),
    [
        ("vit", "embeddings"),
        ("clip", "embeddings"),
        ("registers", "embeddings"),
        ("convnext", "embeddings"),
        ("resnet", "embedder.embedder.convolution"),
    ],
)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 3), (2, 1), (3, 0), (3, 3)])
def test_a_bright_cell_moves_the_patches_at_its_place(
    name: str, hook: str, row: int, column: int, subjects: dict[str, VisionSubject]
) -> None:
    subject = subjects[name]
    path = subject.resolve(hook)
    found, contexts = looked(subject, path, [spot(row, column), Image.new("RGB", (SIDE, SIDE))])
    grid = contexts[0].grid
    moved = (found[0] - found[1]).norm(dim=1)[grid.positions].reshape(grid.rows, grid.columns)
    at = int(moved.argmax())
    assert (at // grid.columns * 4 // grid.rows, at % grid.columns * 4 // grid.columns) == (row, column)


def test_patches_of_a_picture_that_is_no_square_lie_row_by_row() -> None:
    """At the output of a convolution, whose channels come before height and width."""
    conv = nn.Conv2d(3, 5, kernel_size=8, stride=8)
    processor = ViTImageProcessor(size={"height": 16, "width": 40})
    subject = VisionSubject(nn.Sequential(conv), Eye(processor, "wide"), "wide")
    assert subject.eye.size == (16, 40)
    (context,) = seen(subject, ["0"], [noise()])
    assert context.grid == Grid(0, 2, 5)
    picture = np.zeros((16, 40, 3), np.uint8)
    picture[8:, 24:32] = 255  # row 1, column 3
    found, _ = looked(subject, "0", [Image.fromarray(picture), Image.new("RGB", (40, 16))])
    moved = (found[0] - found[1]).norm(dim=1)
    assert moved.argmax() == 1 * 5 + 3
    assert (moved > 0).sum() == 1


@pytest.mark.parametrize(
    ("n", "size", "patch", "grid"),
    [
        (17, (32, 32), 8, Grid(1, 4, 4)),
        (16, (32, 32), 8, Grid(0, 4, 4)),
        (21, (32, 32), 8, Grid(5, 4, 4)),
        (10, (16, 40), 8, Grid(0, 2, 5)),
        (11, (16, 40), 8, Grid(1, 2, 5)),
        (50, (32, 32), None, Grid(1, 7, 7)),
        (197, (224, 224), 16, Grid(1, 14, 14)),
        (5, (32, 32), 8, Grid(1, 2, 2)),  # fewer positions than the picture has patches: they were merged
        (1, (32, 32), None, Grid(0, 1, 1)),
    ],
)
def test_the_grid_follows_from_the_patch_size_or_is_the_largest_square(
    n: int, size: tuple[int, int], patch: int | None, grid: Grid
) -> None:
    assert grid_of(n, size, patch) == grid


@pytest.mark.parametrize(("skip_special", "counted"), [(True, 16), (False, 20)])
def test_class_and_register_tokens_count_only_where_special_ones_do(
    skip_special: bool, counted: int, subjects: dict[str, VisionSubject]
) -> None:
    subject = subjects["registers"]
    hook = subject.resolve("encoder.layer.1")
    found, contexts = looked(subject, hook, PICTURES)
    rule = PositionRule(PositionsConfig(skip_special=skip_special, norm_limit=0), subject)
    mask = rule.mask([one.tokens for one in contexts], found, hook)
    assert mask.sum(1).tolist() == [counted] * len(PICTURES)
    assert mask[:, 4:].all()
    assert rule.masked["special"] == (4 * len(PICTURES) if skip_special else 0)
    assert rule.masked["first"] == rule.masked["padding"] == 0  # the first patch reads no sink


# ---- modules of one's own


class Own(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3, padding=1))
        self.head = nn.Linear(4, 2)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.body(pixels).mean((2, 3)))


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a python module with functions that return models, or do not."""
    torch.manual_seed(0)
    made = SimpleNamespace(model=Own(), make=None, nothing=lambda: "a string", double=lambda: Own().double())
    made.make = lambda: made.model
    monkeypatch.setitem(sys.modules, "a_module_with_models", made)
    return "a_module_with_models"


def test_a_module_of_ones_own_sees_pictures_as_the_config_says(own: str) -> None:
    config = PictureConfig(size=16, mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))
    subject = load(SubjectConfig(model=f"python:{own}:make", device="cpu", picture=config))
    assert isinstance(subject, VisionSubject)
    assert subject.eye.size == (16, 16)
    assert subject.reads(["body.2"]) == {"image"}
    found, contexts = looked(subject, "body.2", [noise(0, 16, 16), noise(1, 16, 16)])
    assert contexts[0].grid == Grid(0, 8, 8)
    levels = torch.stack([torch.tensor(np.asarray(noise(n, 16, 16))).permute(2, 0, 1) / 255 for n in (0, 1)])
    pixels = (levels - torch.tensor(config.mean).view(3, 1, 1)) / torch.tensor(config.std).view(3, 1, 1)
    with torch.no_grad():
        expected = sys.modules[own].model.body(pixels)
    torch.testing.assert_close(found, expected.flatten(2).mT)


def test_a_module_of_ones_own_runs_in_the_precision_asked_for(own: str) -> None:
    subject = load(SubjectConfig(model=f"python:{own}:double", device="cpu"))
    assert isinstance(subject, VisionSubject)
    found, _ = looked(subject, "body.2", [noise()])
    assert found.dtype == torch.float32


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("{}:missing", "there is no such function"),
        ("no_such_module_at_all:make", "there is no such function"),
        ("{}", "there is no such function"),
        (":make", "there is no such function"),
        ("{}:nothing", r"it returned a str: return a torch\.nn\.Module"),
        ("{}:model.body", "there is no such function"),
    ],
)
def test_a_function_that_gives_no_module_is_refused_in_a_sentence(name: str, sentence: str, own: str) -> None:
    with pytest.raises(UserError, match=sentence):
        load(SubjectConfig(model=f"python:{name.format(own)}", device="cpu"))


# ---- refusals


class Odd(nn.Module):
    """Outputs of every rank beside a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.flat, self.deep, self.text, self.conv = nn.Identity(), nn.Identity(), Words(), nn.Conv2d(3, 4, 8, 8)
        self.named = Named()

    def forward(self, pixels: Tensor) -> Tensor:
        self.flat(pixels.mean((2, 3)))
        self.deep(pixels[:, :, None])
        self.text(pixels)
        self.named(pixels)
        return self.conv(pixels)


class Words(nn.Module):
    def forward(self, pixels: Tensor) -> Any:
        return "no tensor at all"


class Named(nn.Module):
    def forward(self, pixels: Tensor) -> Any:
        return {"last_hidden_state": pixels}


@pytest.mark.parametrize(
    ("hook", "shape"), [("flat", r"\(1, 3\)"), ("deep", r"\(1, 3, 1, 32, 32\)")], ids=["[b, d]", "five dimensions"]
)
def test_an_output_without_a_vector_for_each_patch_is_refused_with_its_shape(hook: str, shape: str) -> None:
    subject = VisionSubject(Odd(), Eye(vit_processor(), "odd"), "odd")
    with pytest.raises(UserError, match=rf"'{hook}', but its output has shape {shape}, not \[batch, channels"):
        subject.length([hook], 128)


@pytest.mark.parametrize("hook", ["text", "named"])
def test_an_output_that_is_no_tensor_is_refused(hook: str) -> None:
    subject = VisionSubject(Odd(), Eye(vit_processor(), "odd"), "odd")
    with pytest.raises(UserError, match=rf"'{hook}', but its output is a (str|dict), not a tensor: choose"):
        subject.length([hook], 128)


def test_a_whole_encoder_whose_output_is_a_record_is_refused(subjects: dict[str, VisionSubject]) -> None:
    with pytest.raises(UserError, match=r"'encoder', but its output is a \w+, not a tensor: choose a module inside it"):
        subjects["clip"].length(["encoder"], 128)


@pytest.mark.parametrize("name", ["vit", "clip"])
def test_a_pooled_output_is_refused_with_its_shape(name: str, subjects: dict[str, VisionSubject]) -> None:
    hook = subjects[name].resolve({"vit": "pooler", "clip": "post_layernorm"}[name])
    with pytest.raises(UserError, match=r"its output has shape \(1, 16\), not \[batch"):
        subjects[name].length([hook], 128)


def test_hooks_with_different_grids_do_not_go_into_one_run(subjects: dict[str, VisionSubject]) -> None:
    subject = subjects["resnet"]
    hooks = [subject.resolve("encoder.stages.0"), subject.resolve("encoder.stages.1")]
    with pytest.raises(UserError, match=r"have 64 positions and 16 positions a picture: collect them in runs of their"):
        subject.length(hooks, 128)


def test_a_dictionary_of_another_width_is_refused_in_a_sentence(subjects: dict[str, VisionSubject]) -> None:
    found, _ = looked(subjects["vit"], "layers.1", PICTURES)
    dictionary = SimpleNamespace(d_in=32)
    with pytest.raises(UserError, match=r"'d' at layers\.1, but it reads 32 dimensions and the hook gives 16"):
        check_fit("d", dictionary, Site("layers.1"), found)
    assert issubclass(Dictionary, object)


class Sizes:
    """An image processor whose output is as large as the picture."""

    do_normalize, do_rescale, rescale_factor = False, True, 1 / 255

    def __call__(self, images: Image.Image, return_tensors: str) -> dict[str, Tensor]:
        return {"pixel_values": torch.tensor(np.asarray(images)).permute(2, 0, 1)[None] / 255}


class Contrast(Sizes):
    """One that changes contrast beside the scale."""

    def __call__(self, images: Image.Image, return_tensors: str) -> dict[str, Tensor]:
        values = super().__call__(images.resize((32, 32)), return_tensors)["pixel_values"]
        return {"pixel_values": (values - values.mean()) / values.std()}


@pytest.mark.parametrize(
    ("processor", "sentence"),
    [
        (Sizes(), r"makes \(3, 64, 96\) and \(3, 160, 64\) of two pictures, not one \[3, height, width\] of any"),
        (ViTImageProcessor(do_resize=False), r"makes \(3, 64, 96\) and \(3, 160, 64\) of two pictures"),
        (
            CLIPImageProcessor(size={"shortest_edge": 32}, do_center_crop=False),
            r"makes \(3, 32, 48\) and \(3, 80, 32\)",
        ),
        (Contrast(), "its image processor does more than resize, crop, scale and normalise"),
    ],
    ids=["sizes as they are", "no resize", "no crop", "contrast"],
)
def test_an_image_processor_that_cannot_be_followed_is_refused_in_a_sentence(processor: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        Eye(processor, "some-model")


def test_a_model_folder_without_an_image_processor_is_refused_in_a_sentence(tmp_path: Path) -> None:
    vit()[0].save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"transformers cannot load it .*: give a folder with .*image processor"):
        load(SubjectConfig(model=str(tmp_path), device="cpu"))


@pytest.mark.parametrize("damage", ["{", '{"image_processor_type": "NoSuchThing"}'])
def test_a_damaged_image_processor_is_refused_in_a_sentence(damage: str, tmp_path: Path) -> None:
    vit()[0].save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(damage)
    with pytest.raises(UserError, match="transformers cannot load it"):
        load(SubjectConfig(model=str(tmp_path), device="cpu"))


@pytest.mark.parametrize(
    ("model", "size", "sentence"),
    [
        (
            lambda: vit()[0],
            SIDE + 16,
            r"it does not read pictures of shape \(3, 48, 48\) \(.*: check that image processor",
        ),
        (lambda: nn.Sequential(nn.Conv2d(1, 4, 8, stride=8)), SIDE, r"pictures of shape \(3, 32, 32\) \(.*channels"),
    ],
    ids=["another size", "another number of channels"],
)
def test_a_model_that_does_not_read_what_its_processor_makes_is_refused_in_a_sentence(
    model: Callable[[], nn.Module], size: int, sentence: str
) -> None:
    eye = Eye(ViTImageProcessor(size={"height": size, "width": size}), "some-model")
    subject = VisionSubject(model(), eye, "some-model")
    with pytest.raises(UserError, match=sentence) as caught:
        subject.look(PICTURES[0], "", [list(dict(subject.model.named_modules()))[-1]])
    assert "\n" not in str(caught.value)
