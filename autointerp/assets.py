"""Where shipped files live (rubrics, datasets, report templates, presets) and what `package:` and other paths mean.

In a checkout the data folders stand at the top level; in an installed wheel they are inside the package. The
folder `datasets/` holds no Python package, since that name would shadow the Hugging Face library.
"""

import importlib.metadata
import importlib.util
import os
from pathlib import Path

from autointerp.errors import UserError

PACKAGE = Path(__file__).parent
PLANTED = "planted:"  # before the rules of a planted subject
SHIPPED = PACKAGE / "_shipped" if (PACKAGE / "_shipped").exists() else PACKAGE.parent


def version() -> str:
    """The installed version of autointerp; a checkout that was never installed has none."""
    try:
        return importlib.metadata.version("autointerp")
    except importlib.metadata.PackageNotFoundError:
        return "unreleased"


def rubrics() -> Path:
    return SHIPPED / "rubrics"


def datasets() -> Path:
    return SHIPPED / "datasets"


def templates() -> Path:
    return SHIPPED / "reports" / "templates"


def presets() -> list[str]:
    return sorted(path.stem for path in (PACKAGE / "presets").glob("*.toml"))


def preset(name: str) -> Path | None:
    path = PACKAGE / "presets" / f"{name}.toml"
    return path if name in presets() else None


def cache() -> Path:
    """The user's cache folder: converted models and the ledger. AUTOINTERP_CACHE moves it."""
    base = os.environ.get("AUTOINTERP_CACHE")
    return Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "autointerp"


def locate(name: str) -> Path | None:
    """The local file or folder that `name` means, or None where it can only be a hub id.

    `package:NAME/PATH` is looked up without importing the package, whose import may have demands of its own.
    """
    if name.startswith("package:"):
        package, _, inside = name.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if not folders:
            raise UserError(
                f"you asked for {name}", f"the package {package!r} is not installed", f"pip install {package}"
            )
        path = Path(folders[0]) / inside
        if not path.exists():
            raise UserError(f"you asked for {name}", f"{package!r} holds no {inside!r}", "check the path inside it")
        return path
    name = name.removeprefix(PLANTED)
    for path in (Path(name).expanduser(), datasets() / name):
        if path.exists():
            return path
    return None
