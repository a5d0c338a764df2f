"""ViT-Prisma folders: what the fixtures do not reach; pickles and visaebench, which are refused in a sentence."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from autointerp.dictionaries import load_dictionary
from autointerp.errors import UserError

FIXTURES = Path(__file__).parent / "fixtures"
PRISMA = FIXTURES / "vit_prisma_topk" / "dictionary"
X = load_file(FIXTURES / "vit_prisma_topk" / "expected.safetensors")["x"]


def changed(path: Path, **config: Any) -> Path:
    shutil.copytree(PRISMA, path)
    found = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(found | config))
    return path


def test_the_file_alone_gives_what_its_folder_gives_whatever_its_name(tmp_path: Path) -> None:
    path = changed(tmp_path / "d")
    expected = load_dictionary(path).encode(X)
    assert torch.equal(load_dictionary((path / "weights.pt").rename(path / "n_images_5.pt")).encode(X), expected)


def test_the_hook_is_put_together_from_the_layer_and_its_site() -> None:
    dictionary = load_dictionary(PRISMA)
    assert dictionary.hook == "blocks.9.ln2.hook_normalized" and dictionary.subtract_b_dec


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"is_transcoder": True}, "it is a transcoder of ViT-Prisma"),
        ({"activation_fn_str": "tanh-relu"}, "its activation function is 'tanh-relu'"),
        ({"d_in": 17}, "says d_in = 17 and W_enc has 16"),
    ],
)
def test_what_would_be_misread_is_refused(config: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        load_dictionary(changed(tmp_path / "d", **config))


@pytest.mark.parametrize("beside", [True, False])
def test_a_pickled_config_is_named_and_not_unpickled(
    beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ViT-Prisma's save_model writes it: {"cfg": an object, "state_dict": ...}."""
    module = ModuleType("vit_prisma.sae.config")
    config = type("VisionModelSAERunnerConfig", (), {"__module__": module.__name__})
    module.VisionModelSAERunnerConfig = config
    for name in ("vit_prisma", "vit_prisma.sae", module.__name__):
        monkeypatch.setitem(sys.modules, name, module)
    path = changed(tmp_path / "d") / "weights.pt"
    torch.save({"cfg": config(), "state_dict": {}}, path)
    if not beside:
        (path.parent / "config.json").unlink()
    with pytest.raises(UserError) as caught:
        load_dictionary(path)
    assert str(caught.value) == (
        f"You asked for the dictionary {path}, but it is a pickle that holds vit_prisma.sae.config."
        "VisionModelSAERunnerConfig, and reading that would run its code: save the state_dict alone."
    )


@pytest.mark.parametrize("name", ["sae.pt", "model.safetensors", "model.pt"])
@pytest.mark.parametrize("config", [{"activation": "batchtopk", "threshold": 0.1}, {"sae_type": "topk", "k": 5}])
def test_visaebench_is_refused_since_what_normalises_its_input_is_not_in_its_files(
    name: str, config: dict[str, Any], tmp_path: Path
) -> None:
    tensors = {"encoder.weight": torch.zeros(32, 16), "encoder.bias": torch.zeros(32)}
    tensors |= {"decoder.weight": torch.zeros(32, 16), "decoder.bias": torch.zeros(16)}
    (save_file if name.endswith("safetensors") else torch.save)(tensors, tmp_path / name)
    (tmp_path / "config.json").write_text(json.dumps(config))
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(UserError, match="it is one of visaebench, which reads input normalised by a mean"):
            load_dictionary(path)


def test_a_broken_config_beside_a_file_of_another_format_does_not_matter(tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "openai_topk" / "dictionary.pt", tmp_path / "7.pt")
    (tmp_path / "config.json").write_text("{")
    assert load_dictionary(tmp_path / "7.pt").convention["format"] == "openai/sparse_autoencoder"
