"""dictionary_learning folders: what the real library's fixtures do not reach, and what is refused."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError
from tests.traps import Trap

FIXTURES = Path(__file__).parent / "fixtures"
Entries = dict[str, Any]


def source(kind: str) -> Path:
    return FIXTURES / f"dictionary_learning_{kind}" / "dictionary"


def entries(kind: str) -> Entries:
    loaded: Entries = torch.load(source(kind) / "ae.pt", weights_only=True)
    return loaded


def written(path: Path, kind: str, change: Callable[[Entries], Any] = lambda _: None, **trainer: Any) -> Path:
    """A copy of a fixture with its entries changed in place and other settings of its trainer."""
    shutil.copytree(source(kind), path)
    raw = entries(kind)
    change(raw)
    torch.save(raw, path / "ae.pt")
    config = json.loads((path / "config.json").read_text())
    config["trainer"] |= trainer
    (path / "config.json").write_text(json.dumps(config))
    return path


def test_an_april_update_decoder_is_read_at_unit_norm_and_says_so() -> None:
    dictionary = load_dictionary(source("april_update"))
    torch.testing.assert_close(dictionary.feature_norms, torch.ones(32))
    assert "divided by its norms" in dictionary.convention["rescale"]
    assert "rescale" not in load_dictionary(source("standard")).convention
    norms = load_dictionary(source("new")).feature_norms  # the library leaves AutoEncoderNew as it is
    assert float((norms - 1).abs().max()) > 0.1


def test_a_silent_decoder_column_stays_silent(tmp_path: Path) -> None:
    dictionary = load_dictionary(
        written(tmp_path / "d", "april_update", lambda raw: raw["decoder.weight"][:, 3].zero_())
    )
    assert bool((dictionary.W_dec[3] == 0).all())
    assert bool((dictionary.encode(torch.randn(50, 16))[:, 3] == 0).all())


def test_the_threshold_of_a_batch_topk_dictionary_is_one_number_for_all_features() -> None:
    for kind in ("batch_topk", "matryoshka"):
        dictionary = load_dictionary(source(kind))
        assert dictionary.threshold is not None
        assert dictionary.threshold.shape == (32,) and set(dictionary.threshold.tolist()) == {float(torch.tensor(0.4))}
        assert dictionary.expected_l0 == 5


def test_a_topk_dictionary_needs_no_threshold() -> None:
    assert float(entries("topk")["threshold"]) == -1  # never set, and never used unless asked for
    assert load_dictionary(source("topk")).threshold is None


def test_an_older_topk_file_has_no_threshold_at_all(tmp_path: Path) -> None:
    path = written(tmp_path / "d", "topk", drop("threshold"))
    for what in (path, path / "ae.pt"):
        assert load_dictionary(what).k == 5


def test_a_backup_is_brought_to_the_units_of_a_finished_file() -> None:
    """Both come from training on normalised activations, so both must read raw ones: thresholds of the same size."""
    ended, backup = load_dictionary(source("ended")), load_dictionary(source("backup"))
    assert ended.threshold is not None and backup.threshold is not None
    assert 0.8 < float(backup.threshold[0] / ended.threshold[0]) < 1.25
    assert "interrupted" in backup.convention["warning"] and "warning" not in ended.convention


@pytest.mark.parametrize("kind", ["standard", "new", "gated", "topk", "jumprelu", "matryoshka"])
def test_a_backup_of_any_class_gives_what_training_saw(kind: str, tmp_path: Path) -> None:
    """f(norm_factor * x) of the backup is norm_factor * f(x) of its weights as they were in training."""
    factor, x = 7.5, torch.randn(20, 16, generator=torch.Generator().manual_seed(1))

    def interrupt(raw: Entries) -> None:
        state = dict(raw)
        raw.clear()
        raw.update({"step": 3, "ae": state, "optimizer": {}, "config": {}, "norm_factor": factor})

    inner, outer = load_dictionary(source(kind)), load_dictionary(written(tmp_path / "d", kind, interrupt))
    f = inner.encode(x)
    torch.testing.assert_close(outer.encode(factor * x), factor * f, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(outer.decode(factor * f), factor * inner.decode(f), rtol=1e-4, atol=1e-4)


def test_an_intermediate_checkpoint_finds_its_config_one_folder_up(tmp_path: Path) -> None:
    folder = written(tmp_path / "d", "gated")
    (folder / "checkpoints").mkdir()
    file = (folder / "ae.pt").rename(folder / "checkpoints" / "ae_100.pt")
    assert load_dictionary(file).activation == "gated"


def test_the_hook_is_said_in_the_librarys_words_but_left_to_the_user() -> None:
    dictionary = load_dictionary(source("gated"))
    assert dictionary.hook == "" and "layer 3, resid_post_layer_3" in dictionary.convention["hook"]


def put(name: str, value: Any) -> Callable[[Entries], None]:
    return lambda raw: raw.__setitem__(name, value)


def drop(name: str) -> Callable[[Entries], Any]:
    return lambda raw: raw.pop(name)


def same(_: Entries) -> None:
    pass


@pytest.mark.parametrize(
    ("kind", "change", "trainer", "sentence"),
    [
        ("batch_topk", put("threshold", torch.tensor(-1.0)), {}, "its threshold is -1, which marks one that was never"),
        ("matryoshka", put("threshold", torch.tensor(-1.0)), {}, "its threshold is -1, which marks one that was never"),
        ("batch_topk", put("threshold", torch.tensor(torch.nan)), {}, "its threshold is nan"),
        ("batch_topk", put("threshold", torch.ones(32)), {}, r"its threshold has shape \[32\]"),
        ("batch_topk", drop("threshold"), {}, "a BatchTopKSAE needs threshold; it holds"),
        ("batch_topk", same, {"k": 6}, "config.json says k = 6 and the weights 5"),
        ("topk", put("k", torch.tensor(0)), {}, "its k is 0"),
        ("topk", drop("k"), {"k": None}, "neither the weights nor config.json give its k"),
        ("standard", same, {"dict_class": "IdentityDict"}, "its dict_class is 'IdentityDict'"),
        ("standard", same, {"dict_class": ["AutoEncoder"]}, "its dict_class is "),
        ("standard", same, {"dict_class": None}, "no config.json names its dict_class; it holds"),
        ("standard", same, {"dict_class": "GatedAutoEncoder"}, "a GatedAutoEncoder needs decoder_bias"),
        ("standard", same, {"activation_dim": 17}, "config.json says activation_dim = 17 and the weights have 16"),
        ("standard", same, {"dict_size": 16}, "config.json says dict_size = 16"),
        ("standard", drop("encoder.bias"), {}, "an AutoEncoder needs encoder.bias"),
        (
            "standard",
            put("encoder.weight", torch.zeros(16, 32)),
            {},
            "config.json says activation_dim = 16 and the weights have 32",
        ),
        ("gated", put("r_mag", torch.zeros(5)), {}, r"its r_mag has shape \[5\]"),
        ("jumprelu", put("threshold", torch.zeros(())), {}, r"its threshold has shape \[\]"),
        ("jumprelu", put("W_enc", torch.zeros(16)), {}, r"its W_enc has shape \[16\] where a matrix"),
        ("backup", put("norm_factor", None), {}, "a backup of an interrupted run with norm_factor None"),
        ("backup", drop("norm_factor"), {}, "a backup of an interrupted run with norm_factor None"),
        ("backup", put("norm_factor", float("nan")), {}, "norm_factor nan"),
        ("backup", put("ae", [1]), {}, "its entry ae is not a table"),
        ("backup", lambda raw: raw["ae"]["threshold"].fill_(-1), {}, "its threshold is -1, which marks"),
    ],
)
def test_files_that_would_be_misread_are_refused(
    kind: str, change: Callable[[Entries], Any], trainer: Entries, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=sentence) as caught:
        load_dictionary(written(tmp_path / "d", kind, change, **trainer))
    assert str(tmp_path) in str(caught.value)


def test_weights_without_a_config_are_refused_since_topk_and_batch_topk_hold_the_same_keys(tmp_path: Path) -> None:
    assert set(entries("topk")) == set(entries("batch_topk"))
    path = written(tmp_path / "d", "topk")
    (path / "config.json").unlink()
    for what in (path, path / "ae.pt"):
        with pytest.raises(UserError, match=r"no config\.json names its dict_class"):
            load_dictionary(what)


@pytest.mark.parametrize("save", [torch.save, lambda what, path: path.write_bytes(pickle.dumps(what))])
@pytest.mark.parametrize("as_file", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not(
    save: Callable[[Any, Path], Any], as_file: bool, tmp_path: Path
) -> None:
    path = written(tmp_path / "d", "standard")
    save(entries("standard") | {"more": Trap(tmp_path / "sprung")}, path / "ae.pt")
    with pytest.raises(UserError, match="reading that would run its code"):
        load_dictionary(path / "ae.pt" if as_file else path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x80\x02.", b"PK\x03\x04", b"text", None, torch.zeros(3)])
def test_a_damaged_checkpoint_is_refused(content: bytes | Tensor | None, tmp_path: Path) -> None:
    path = written(tmp_path / "d", "standard") / "ae.pt"
    if isinstance(content, Tensor):
        torch.save(content, path)
    else:
        path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    for what in (path, path.parent):
        with pytest.raises(UserError, match=r"not readable|damaged|not a table|no known format"):
            load_dictionary(what)
