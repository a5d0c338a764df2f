"""What the files of a local model say that it is: names that its makers left in them, whatever the files are called."""

import json
import os
import re
import struct
from pathlib import Path
from typing import Any, BinaryIO

GGUF = ("general.base_model.0.name", "general.source.huggingface.repository", "general.name", "general.basename")
TEXT, LIST = 8, 9  # types of a field
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of the others
LONGEST = 10_000
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
    """The first fields of the header. The library for it reads every token of the vocabulary, which takes seconds.

    (GGUF specification, version 2 and 3.) Where the file is damaged, what was read before counts.
    """
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                return []
            version, _, fields = struct.unpack("<IQQ", file.read(20))
            for _ in range(fields if version in (2, 3) else 0):
                key = string(file)
                value = field(file)
                if key in GGUF and isinstance(value, str) and value:
                    found[key] = value
    except (OSError, ValueError, struct.error):
        pass
    return [found[name] for name in GGUF if name in found]


def string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > LONGEST:
        raise ValueError("no field of a header is that long")
    read = file.read(length)
    if len(read) < length:
        raise ValueError("the file ends within a name")
    return read.decode("utf-8")


def field(file: BinaryIO) -> str | None:
    """The value of a field if it is text; others are passed over. Long lists, as of tokens, end the reading."""
    (kind,) = struct.unpack("<I", file.read(4))
    if kind == TEXT:
        return string(file)
    if kind == LIST:
        inner, count = struct.unpack("<IQ", file.read(12))
        if count > LONGEST:
            raise ValueError("the vocabulary begins")
        for _ in range(count):
            if inner == TEXT:
                string(file)
            elif inner in SIZES:
                file.seek(SIZES[inner], os.SEEK_CUR)
            else:
                raise ValueError("lists of lists are no names")
        return None
    if kind not in SIZES:
        raise ValueError("no such type of field")
    file.seek(SIZES[kind], os.SEEK_CUR)
    return None


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
