"""What the files of a local model say that it is: names that its makers left in them, whatever the files are called."""

import json
import re
from pathlib import Path
from typing import Any

GGUF = ("general.base_model.0.name", "general.source.huggingface.repository", "general.name", "general.basename")
CONFIG = {"config.json": "_name_or_path", "adapter_config.json": "base_model_name_or_path"}
BASE = re.compile(r"^base_model:\s*(?:\n\s*-\s*)?[\"']?([^\"'\n\[\]]+?)[\"']?\s*$", re.MULTILINE)


def names(path: Path) -> list[str]:
    """The names in a model's files, the one that tells most of where it comes from first; none where they say none."""
    if path.suffix == ".gguf":
        return of_gguf(path)
    if not path.is_dir():
        return []
    found = [of_card(path / "README.md")]
    found += [of_json(path / file, key) for file, key in CONFIG.items()]
    return [name for name in found if name]


def of_gguf(path: Path) -> list[str]:
    """Fields of the header. Without the library, or where the file is no GGUF, nothing is known."""
    try:
        from gguf import GGUFReader

        fields = GGUFReader(path).fields
    except (ImportError, OSError, ValueError, IndexError, KeyError, OverflowError):  # as its reader meets damage
        return []
    return [str(fields[name].contents()) for name in GGUF if name in fields and fields[name].contents()]


def of_json(path: Path, key: str) -> str:
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return ""
    value = content.get(key) if isinstance(content, dict) else None
    return value if isinstance(value, str) else ""


def of_card(path: Path) -> str:
    """The base model that a model card's front matter names."""
    try:
        text = path.read_text("utf-8", "replace")
    except OSError:
        return ""
    front = text.split("---", 2)
    found = BASE.search(front[1]) if len(front) == 3 and not front[0].strip() else None
    return found[1] if found else ""
