"""One planted run for all tests of ratings; each test has a copy of it, without ratings."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from autointerp.rate import items
from autointerp.rate.items import Material
from tests.rate import rated


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOINTERP_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield rated.make(tmp_path_factory.mktemp("rated"))


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / rated.RUN)
    return tmp_path / rated.RUN


@pytest.fixture
def found(run: Path) -> Material:
    return items.material(run)
