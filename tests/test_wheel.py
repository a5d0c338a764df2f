"""The wheel holds what a run needs, and works where there is no checkout."""

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("autointerp", "datasets", "rubrics", "reports")
FILES = ("pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked wheel, built from a copy of the tree so that building leaves nothing behind."""
    copy, wheels, target = (tmp_path_factory.mktemp(name) for name in ("tree", "wheels", "installed"))
    litter = shutil.ignore_patterns("__pycache__", ".*")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, copy / folder, ignore=litter)
    for file in FILES:
        shutil.copy(ROOT / file, copy / file)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", str(copy), "--no-deps", "-q", "-w", str(wheels)], check=True, cwd=wheels
    )
    (wheel,) = wheels.glob("autointerp-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in path.parts[-3:])
    }


@pytest.mark.parametrize("folder", ["rubrics", "datasets", "reports/templates"])
def test_shipped_data_is_inside_the_package(folder: str, installed: Path) -> None:
    shipped = files(installed / "autointerp" / "_shipped" / folder)
    assert shipped >= files(ROOT / folder)
    assert shipped


def test_presets_and_tables_are_inside_the_package(installed: Path) -> None:
    wheel, checkout = files(installed / "autointerp"), files(ROOT / "autointerp")
    assert {name for name in checkout if name.endswith((".toml", ".py"))} <= wheel
    assert "presets/demo-text.toml" in wheel


def test_nothing_but_the_package_lands_beside_other_packages(installed: Path) -> None:
    """Above all no `datasets`, which would shadow the library of that name."""
    beside = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert beside == {"autointerp"}


def run(installed: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(installed),
        "AUTOINTERP_CACHE": str(cwd / "cache"),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=cwd, capture_output=True, text=True, check=False
    )


def test_the_shipped_preset_is_planned_from_the_wheel_alone(installed: Path, tmp_path: Path) -> None:
    where = run(installed, tmp_path, "-c", "import autointerp.assets as a; print(a.__file__, a.SHIPPED, sep='\\n')")
    code, shipped = where.stdout.split()
    assert Path(code).is_relative_to(installed), where.stderr
    assert Path(shipped) == installed / "autointerp" / "_shipped"
    planned = run(installed, tmp_path, "-m", "autointerp", "check", "demo-text")
    assert planned.returncode == 0, planned.stderr
    assert "demo-text" in planned.stdout
    assert "who grades whom" in planned.stdout
    preset = tomllib.loads((installed / "autointerp" / "presets" / "demo-text.toml").read_text("utf-8"))
    for role in (*preset["explainers"], *preset["scorers"]):
        assert role in planned.stdout
    assert not list(tmp_path.iterdir())


def test_a_rubric_and_the_page_template_load_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    code = "from autointerp import assets, rubric; print(rubric.load('detection').name, *assets.templates().iterdir())"
    told = run(installed, tmp_path, "-c", code)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("detection.")
    assert str(installed) in told.stdout
