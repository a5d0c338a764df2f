"""Shards: any split of the work, interrupted or not, on one machine or many, ends in the same sketches."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file

from autointerp import toml
from autointerp.collect import collector, stage
from autointerp.collect.parts import Part, tree
from autointerp.collect.prepare import prepare
from autointerp.errors import UserError
from autointerp.job import Job
from autointerp.pipeline import run, run_shard
from autointerp.store import RunDirectory
from tests import planted as plant
from tests.planted import Planted

pytestmark = pytest.mark.usefixtures("own_cache")

SUMS = ("sum", "sum_sq")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return plant.plant(tmp_path_factory.mktemp("planted"))


def settings_of(planted: Planted, **collect: Any) -> dict[str, Any]:
    """96 contexts in shards of 10: ten of them, the last one short."""
    made = plant.settings(planted)
    made["collect"] |= {"shard_contexts": 10, "loss_contexts": 0, "batch_size": 4, **collect}
    return made


@pytest.fixture
def config(planted: Planted, tmp_path: Path) -> Path:
    return plant.write_config(tmp_path / "planted.toml", settings_of(planted))


@pytest.fixture(scope="module")
def whole(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one uninterrupted process collects."""
    out = tmp_path_factory.mktemp("whole")
    run(plant.write_config(out / "planted.toml", settings_of(planted)), out=out, only="collect")
    return out / "planted" / "collect"


def assert_same(found: Path, expected: Path) -> None:
    """Counts, histograms and reservoirs alike; sums and figures to rounding."""
    assert load_file(found / "rules.safetensors").keys() == load_file(expected / "rules.safetensors").keys()
    for key, value in load_file(expected / "rules.safetensors").items():
        mine = load_file(found / "rules.safetensors")[key]
        if key in SUMS:
            torch.testing.assert_close(mine, value, rtol=1e-12, atol=0)
        else:
            assert torch.equal(mine, value), key
    assert figures(found) == pytest.approx(figures(expected), rel=1e-9)


def figures(folder: Path) -> dict[str, float]:
    with safe_open(folder / "rules.safetensors", framework="pt") as handle:
        made = json.loads(handle.metadata()["figures"])
    return {name: made[name] for name in ("l0", "explained_variance", "n_positions")}


def job_of(config: Path, out: Path) -> Job:
    loaded = toml.load(config)
    return Job(loaded, RunDirectory.open(out, loaded.name))


# ---- merging


def test_the_contexts_are_cut_into_row_groups_and_no_document_is_in_two(planted: Planted, tmp_path: Path) -> None:
    config = plant.write_config(tmp_path / "planted.toml", settings_of(planted))
    prepared = prepare(job_of(config, tmp_path))
    sizes = [b - a for a, b in zip(prepared.offsets, prepared.offsets[1:], strict=False)]
    assert sizes == [10] * 9 + [6]
    config = plant.write_config(tmp_path / "odd.toml", settings_of(planted, shard_contexts=7) | {"name": "odd"})
    prepared = prepare(job_of(config, tmp_path))
    assert sum(b - a for a, b in zip(prepared.offsets, prepared.offsets[1:], strict=False)) == 96
    assert all(b - a in (8, 96 % 8) for a, b in zip(prepared.offsets, prepared.offsets[1:], strict=False))  # pairs


@pytest.fixture(scope="module")
def single(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> tuple[Job, Callable[[list[int]], Part]]:
    """A job and how to collect some of its shards into a part of their own."""
    out = tmp_path_factory.mktemp("single")
    job = job_of(plant.write_config(out / "planted.toml", settings_of(planted)), out)
    prepared = prepare(job)

    def collect(shards: list[int]) -> Part:
        return collector.collect(
            job, prepared, shards, collector.empty_part(job, prepared), lambda _: None, lambda _: None
        )

    return job, collect


@settings(deadline=None, max_examples=12)
@given(owners=st.lists(st.integers(0, 3), min_size=10, max_size=10), order=st.randoms(use_true_random=False))
def test_any_division_of_the_shards_merges_to_the_same(
    single: tuple[Job, Callable[[list[int]], Part]], whole: Path, owners: list[int], order: Any
) -> None:
    collect = single[1]
    shards = list(range(10))
    order.shuffle(shards)
    parts = [collect([s for s in shards if owners[s] == owner]) for owner in sorted(set(owners))]
    order.shuffle(parts)
    merged = tree(parts)
    expected = load_file(whole / "rules.safetensors")
    assert merged.shards == list(range(10))
    for key, value in merged.sketches["rules"].state().items():
        if key in SUMS:
            torch.testing.assert_close(value, expected[key], rtol=1e-12, atol=0)
        else:
            assert torch.equal(value, expected[key]), key


def test_a_shard_is_never_counted_twice(single: tuple[Job, Callable[[list[int]], Part]]) -> None:
    collect = single[1]
    with pytest.raises(ValueError, match="shard 3 is in two parts"):
        collect([2, 3]).merge(collect([3, 4]))


# ---- workers by hand


def test_workers_that_know_nothing_of_each_other_add_up(config: Path, whole: Path, tmp_path: Path) -> None:
    for worker in ("2/3", "3/3", "1/3"):
        run_shard(config, (), tmp_path, worker)
    run(config, out=tmp_path, only="collect")
    assert_same(tmp_path / "planted" / "collect", whole)


def test_what_a_lost_worker_left_out_is_collected_at_the_end(
    config: Path, whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "autointerp")
    run_shard(config, (), tmp_path, "1/3")
    run(config, out=tmp_path, only="collect")
    assert "  4 of 10 shards were already folded in" in caplog.messages
    assert_same(tmp_path / "planted" / "collect", whole)


def test_the_one_who_collects_the_rest_may_be_interrupted_too(
    config: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shard 0 alone is a worker's part: it must not be taken for the beginning of the local one."""
    run_shard(config, (), tmp_path, "1/10")
    with monkeypatch.context() as patch:
        save = Part.save

        def dying(part: Part, *arguments: Any) -> None:
            save(part, *arguments)
            if len(part.shards) == 3:
                raise KeyboardInterrupt

        patch.setattr(Part, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            run(config, out=tmp_path, only="collect")
    run(config, out=tmp_path, only="collect")
    assert_same(tmp_path / "planted" / "collect", whole)


def test_a_worker_started_again_does_nothing_twice(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_shard(config, (), tmp_path, "2/2")
    monkeypatch.setattr(Job, "hidden", lambda *_: pytest.fail("the subject ran again"))
    run_shard(config, (), tmp_path, "2/2")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3"])
def test_a_share_that_is_none_is_refused(config: Path, tmp_path: Path, shard: str) -> None:
    with pytest.raises(UserError, match=f"--shard {shard}, but that is not I/N"):
        run_shard(config, (), tmp_path, shard)


def test_overlapping_parts_are_refused(config: Path, tmp_path: Path) -> None:
    run_shard(config, (), tmp_path, "1/2")
    run_shard(config, (), tmp_path, "1/5")
    with pytest.raises(UserError, match=r"1-of-2.safetensors and 1-of-5.safetensors both hold shard 0"):
        run(config, out=tmp_path, only="collect")


# ---- interruption


@pytest.mark.parametrize("survived", [1, 4, 9])
def test_a_run_killed_after_some_shards_goes_on_from_the_last_durable_one(
    config: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, survived: int
) -> None:
    save = Part.save
    read: list[Any] = []

    def dying(part: Part, *arguments: Any) -> None:
        save(part, *arguments)
        if len(part.shards) == survived:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Part, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            run(config, out=tmp_path, only="collect")
    reading = collector.read_contexts
    monkeypatch.setattr(collector, "read_contexts", lambda path, shards: read.extend(shards) or reading(path, shards))
    run(config, out=tmp_path, only="collect")
    assert read == list(range(survived, 10))
    ours, theirs = (folder / "rules.safetensors" for folder in (tmp_path / "planted" / "collect", whole))
    assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b[:8] + b"{}" + b[10:]])
def test_a_damaged_part_is_done_again(
    config: Path,
    whole: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
) -> None:
    run_shard(config, (), tmp_path, "1/2")
    path = tmp_path / "planted" / "collect" / "parts" / "1-of-2.safetensors"
    path.write_bytes(damage(path.read_bytes()))
    run(config, out=tmp_path, only="collect")
    assert any("1-of-2.safetensors is damaged" in message for message in caplog.messages)
    assert_same(tmp_path / "planted" / "collect", whole)


def test_a_corpus_that_changed_under_an_unfinished_run_is_named_and_nothing_is_lost(
    planted: Planted, tmp_path: Path
) -> None:
    corpus = Path(shutil.copy(planted.folder / "corpus.jsonl", tmp_path / "mine.jsonl"))
    made = settings_of(planted)
    made["corpus"]["path"] = str(corpus)
    config = plant.write_config(tmp_path / "planted.toml", made)
    run_shard(config, (), tmp_path, "1/2")
    part = tmp_path / "planted" / "collect" / "parts" / "1-of-2.safetensors"
    before, content = part.read_bytes(), corpus.read_text()
    corpus.write_text(content.replace("harbour", "harbous"))
    for again in (lambda: run_shard(config, (), tmp_path, "2/2"), lambda: run(config, out=tmp_path, only="collect")):
        with pytest.raises(UserError, match=r"since it was begun, corpus file mine\.jsonl changed"):
            again()
    assert part.read_bytes() == before
    corpus.write_text(content)
    run(config, out=tmp_path, only="collect")


def test_a_part_from_elsewhere_that_was_made_of_something_else_is_refused(
    planted: Planted, config: Path, tmp_path: Path
) -> None:
    other = plant.write_config(tmp_path / "other" / "planted.toml", settings_of(planted, keep=5))
    run_shard(other, (), tmp_path / "other", "1/2")
    run_shard(config, (), tmp_path, "2/2")
    parts = Path("planted", "collect", "parts", "1-of-2.safetensors")
    shutil.copy(tmp_path / "other" / parts, tmp_path / parts)
    with pytest.raises(UserError, match=r"1-of-2\.safetensors, but it was collected before collect changed"):
        run(config, out=tmp_path, only="collect")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 300 kB, where this process may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a file system takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_a_sentence_and_what_was_done_is_kept(config: Path, whole: Path, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    run_shard(config, ("collect.cache_gb=0",), small_disk, "1/2")
    ballast.write_bytes(bytes(200_000))
    with pytest.raises(UserError, match="the disk is full: free some space and run again"):
        run(config, ("collect.cache_gb=0",), small_disk, only="collect")
    ballast.unlink()
    run(config, ("collect.cache_gb=0",), small_disk, only="collect")
    assert_same(small_disk / "planted" / "collect", whole)


# ---- far away


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_runs_may_live_on_any_file_system(
    planted: Planted, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Two workers and the one who merges share nothing but the remote folder; corpus and dictionary's documents too."""
    root = f"{scheme}://{tmp_path.as_posix() if scheme == 'file' else '/bucket'}"
    corpus, out = f"{root}/corpus/corpus.jsonl", f"{root}/runs"
    fs, inside = fsspec.core.url_to_fs(corpus)
    fs.makedirs(inside.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(inside, (planted.folder / "corpus.jsonl").read_bytes())
    made = settings_of(planted)
    made["corpus"]["path"] = corpus
    config = plant.write_config(tmp_path / "planted.toml", made)
    for number, worker in enumerate(["1/2", "2/2"]):
        monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / f"machine{number}"))
        run_shard(config, (), out, worker)
    monkeypatch.setenv("AUTOINTERP_CACHE", str(tmp_path / "merger"))
    monkeypatch.setattr(Job, "hidden", lambda *_: pytest.fail("the subject ran again"))
    run(config, out=out, only="collect")
    there = fsspec.core.url_to_fs(out)[1]
    names = {path.removeprefix(there).lstrip("/") for path in fs.find(there)}
    assert {"planted/run.toml", "planted/manifest.json", "planted/collect/rules.safetensors"} <= names
    assert not [name for name in names if "hidden" in name or "/." in name]
    fs.get(f"{there}/planted/collect/rules.safetensors", str(tmp_path / "rules.safetensors"))
    assert_same(tmp_path, whole)


def test_a_file_system_that_is_not_there_is_a_sentence(config: Path) -> None:
    with pytest.raises(UserError, match="for runs in nowhere://bucket"):
        run(config, out="nowhere://bucket", only="collect")


# ---- a cluster

RAY = """
import sys
from autointerp.pipeline import run
run(sys.argv[1], out=sys.argv[2], only="collect")
"""


def ray_process(config: Path, out: Path) -> "subprocess.Popen[bytes]":
    """A run of the collect stage on a Ray cluster of two workers, in a process group of its own."""
    return subprocess.Popen([sys.executable, "-c", RAY, config, out], start_new_session=True)


@pytest.fixture
def slow(planted: Planted, tmp_path: Path) -> Path:
    """Enough shards that a process can be killed between two of them."""
    made = settings_of(planted, engine="ray", workers=2, shard_contexts=2, batch_size=1)
    return plant.write_config(tmp_path / "planted.toml", made)


def workers(parts: Path) -> dict[int, int]:
    """Process ids in the durable parts, and how many shards each has done."""
    found: Counter[int] = Counter()
    for path in parts.glob("*.safetensors"):
        with safe_open(path, framework="pt") as handle:
            said = json.loads(handle.metadata()["part"])
        found[said["worker"]["pid"]] += len(said["shards"])  # one process may do both tasks
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came to that")


@pytest.mark.slow
def test_a_cluster_collects_the_same_though_a_worker_is_lost(planted: Planted, slow: Path, tmp_path: Path) -> None:
    process = ray_process(slow, tmp_path)
    parts = tmp_path / "planted" / "collect" / "parts"
    victim = wait_for(lambda: next(iter(workers(parts)), None))
    os.kill(victim, signal.SIGKILL)
    assert process.wait(timeout=120) == 0
    alone = plant.write_config(tmp_path / "alone.toml", settings_of(planted, shard_contexts=2) | {"name": "alone"})
    run(alone, out=tmp_path, only="collect")
    assert_same(tmp_path / "planted" / "collect", tmp_path / "alone" / "collect")
    assert victim not in workers(parts), "the part of the killed worker was taken up by another"
    assert sum(workers(parts).values()) == 48


@pytest.mark.slow
def test_a_cluster_run_that_was_killed_whole_goes_on(planted: Planted, slow: Path, tmp_path: Path) -> None:
    process = ray_process(slow, tmp_path)
    parts = tmp_path / "planted" / "collect" / "parts"
    wait_for(lambda: sum(workers(parts).values()) >= 4)
    for pid in [process.pid, *workers(parts)]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    done = sum(workers(parts).values())
    assert 4 <= done < 48
    assert ray_process(slow, tmp_path).wait(timeout=120) == 0
    alone = plant.write_config(tmp_path / "alone.toml", settings_of(planted, shard_contexts=2) | {"name": "alone"})
    run(alone, out=tmp_path, only="collect")
    assert_same(tmp_path / "planted" / "collect", tmp_path / "alone" / "collect")


def test_a_cluster_without_ray_is_a_sentence(planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    config = plant.write_config(tmp_path / "planted.toml", settings_of(planted, engine="ray"))
    with pytest.raises(UserError, match="ray is not installed"):
        run(config, out=tmp_path, only="collect")


def test_inputs_name_every_file_of_the_corpus(config: Path, tmp_path: Path) -> None:
    assert "corpus file corpus.jsonl" in stage.inputs(job_of(config, tmp_path))
