"""Files that no subject can be made of are told of in a sentence."""

from importlib import util
from pathlib import Path

import pytest

from autointerp.config import SubjectConfig
from autointerp.errors import UserError
from autointerp.subjects import text
from autointerp.subjects.load import load


def test_a_gguf_file_needs_packages_that_not_everyone_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF")
    monkeypatch.setattr(text, "find_spec", lambda name: None if name == "accelerate" else util.find_spec(name))
    with pytest.raises(
        UserError, match=r"model\.gguf, but the package 'accelerate' is not installed.*autointerp\[local\]"
    ):
        load(SubjectConfig(model=str(path)))


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 40, b"no model at all" * 9])
def test_a_damaged_gguf_file_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(UserError, match="transformers cannot load it"):
        load(SubjectConfig(model=str(path)))
