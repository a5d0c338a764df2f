"""What every dictionary format needs of its files: to read them without running them, and to refuse in a sentence.

A torch checkpoint is a pickle, and unpickling runs code. It is read with weights_only=True, which knows tensors, plain
numbers, strings and containers and nothing else; a file that needs more is refused.
"""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from autointerp.errors import UserError


def refuse(origin: str | Path, found: str, next_step: str) -> NoReturn:
    raise UserError(f"you asked for the dictionary {origin}", found, next_step)


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            f"you asked for the dictionary {path.parent}", f"{path.name} is not JSON ({error})", "mend it"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"you asked for the dictionary {path.parent}", f"{path.name} is not a JSON object", "mend it")
    return content


def beside(path: Path) -> dict[str, Any]:
    """The config.json in the folder or beside the file; {} where there is none that can be read."""
    config = (path if path.is_dir() else path.parent) / "config.json"
    try:
        return read_json(config) if config.exists() else {}
    except UserError:
        return {}


def is_visaebench(config: dict[str, Any]) -> bool:
    """Whether this config.json is one of visaebench, whose files are called and filled as those of other formats."""
    return config.get("activation", config.get("sae_type")) in ("topk", "batchtopk", "jumprelu")


def read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(
            f"you asked for the dictionary {path.parent}",
            f"{path.name} is not readable ({error})",
            "copy or export it again",
        ) from None


def safetensors_names(path: Path) -> set[str]:
    """The names of the tensors, from the header alone; none where it is not readable."""
    try:
        with safe_open(path, framework="pt") as handle:
            return set(handle.keys())
    except (SafetensorError, OSError):
        return set()


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a NumPy archive; an object array is a pickle and is refused."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except Exception as error:  # a parser fed with foreign bytes ends in any way
        raise UserError(
            f"you asked for the dictionary {path.parent}",
            f"{path.name} is not readable as plain arrays ({reason(error)})",
            "copy or export it again",
        ) from None


def members(path: Path) -> list[str]:
    """The names inside a zip archive, which tell an .npz from a torch checkpoint; [] where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # a parser fed with foreign bytes ends in any way
        return []


def is_npz(path: Path) -> bool:
    found = members(path)
    return bool(found) and all(name.endswith(".npy") for name in found)


def is_torch(path: Path) -> bool:
    """A torch checkpoint by its content: a zip archive around a pickle, or the bare pickle of before torch 1.6."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.read(1) == b"\x80" or any(Path(name).name == "data.pkl" for name in members(path))


def torch_names(path: Path) -> set[str]:
    """The names of a checkpoint's entries; the tensors of a zip archive are mapped and not read."""
    return set(read_torch(path, path, mmap=bool(members(path))))


def read_torch(source: Path | IO[bytes], origin: Path, mmap: bool = False) -> dict[str, Any]:
    """The entries of a torch checkpoint, without unpickling anything but tensors, numbers, strings and containers."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that a refusal explains better
            content = torch.load(source, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        held = re.search(r"GLOBAL ([\w.]{1,100}) was not", str(error))
        what = f"a pickle that holds {held[1]}" if held else "damaged, or a pickle that holds more than tensors"
        raise UserError(
            f"you asked for the dictionary {origin}",
            f"it is {what}, and reading that would run its code",
            "save the state_dict alone",
        ) from None
    except Exception as error:  # a parser fed with foreign bytes ends in any way
        raise UserError(
            f"you asked for the dictionary {origin}",
            f"it is not readable as a torch checkpoint ({reason(error)})",
            "copy or export it again",
        ) from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        refuse(origin, "its checkpoint is not a table of named tensors", "save the state_dict of the dictionary")
    return content


def reason(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def float32(tensors: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors among the entries, in float32: a threshold in bfloat16 flips borderline features."""
    return {name: value.to(torch.float32) for name, value in tensors.items() if isinstance(value, Tensor)}


def need(tensors: dict[str, Tensor], names: Iterable[str], origin: str | Path, what: str) -> list[Tensor]:
    """The named tensors, in this order; a missing one is refused by name."""
    names = list(names)
    for name in names:
        if name not in tensors:
            refuse(origin, f"{what} needs {name}; it holds {sorted(tensors)}", "export it again")
    return [tensors[name] for name in names]


def need_matrix(name: str, value: Tensor, origin: str | Path) -> Tensor:
    if value.ndim != 2:
        refuse(origin, f"its {name} has shape {list(value.shape)} where a matrix is expected", "export it again")
    return value


def positive(value: Any, name: str, origin: str | Path) -> int:
    """A count from a config or a checkpoint."""
    number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number % 1 != 0 or number < 1:
        refuse(origin, f"its {name} is {number!r} where a positive whole number is expected", "mend its config")
    return int(number)


def stored(orientation: str, dtype: torch.dtype) -> str:
    return f"{orientation}, {str(dtype).removeprefix('torch.')}"


def subtraction(subtracted: bool) -> str:
    return "subtracted from the input" if subtracted else "not subtracted from the input"


UNITS = "f * |W_dec| (decoder-norm units)"
