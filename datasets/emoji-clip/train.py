"""Train the demo's joint model of pictures and names, and two dictionaries over the outputs of both its towers.

    python datasets/emoji-clip/train.py [--only model|dictionaries|figures]

A CLIP model with two towers of equal width (4 layers, d = 192), trained from nothing on the training concepts of
`emoji`. In a step every concept of the batch shows both pictures and three of its names, and each of these is seen
twice: pooled (class token, eos) and as the mean over its patches or tokens, through the same norm and projection. All
views of a concept attract each other and all other concepts repel, within a modality and across; the same loss holds
on the means before the norm, so that both towers write into one space. Most patches are left out of most steps.

The dictionaries are TopK autoencoders (Gao et al. 2024, Scaling and evaluating sparse autoencoders) with k = 16 on the
last encoder layer of both towers together: patches and tokens in equal number, without class token, bos and eos and
without norms above 10x the median of the tower. Written as SAELens `topk` folders in float16.

A tenth of the training concepts trains nothing in the model: what is printed of them on the way is all that a setting
may be chosen by. The figures in dataset.toml are computed from the written files. On one core the model takes
twenty minutes, the dictionaries and figures ten.
"""

import argparse
import hashlib
import io
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import tomlkit
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn.functional import affine_grid, embedding_bag, grid_sample, normalize
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
)

from autointerp.dictionaries import load_dictionary

HERE = Path(__file__).parent
MODEL = HERE / "emoji-clip-4m"
EMOJI = HERE.parent / "emoji"
SEED = 0
STYLES = ["google", "fluent"]

SIZE, PATCH, WIDTH, LAYERS, HEADS, MLP, PROJECTION = 64, 8, 192, 4, 6, 512, 128
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
VOCABULARY, LENGTH = 4096, 32
BPE_DROPOUT, SEGMENTATIONS = 0.1, 8  # names are also seen in other segmentations: 8 of each are drawn in advance
CONCEPTS, NAMES, PATCHES, STEPS = 96, 3, 24, 1150
FULL_STEPS = 0.1  # the last share of the steps sees whole pictures, all others PATCHES random patches of each
RATE, DECAY, WARMUP = 1e-3, 0.2, 100
RAW_WEIGHT, RAW_SCALE, NORM_WEIGHT = 0.5, 10.0, 0.1

HOOKS = ["vision_model.encoder.layers.3", "text_model.encoder.layers.3"]
WIDTHS, K, BATCH, DICTIONARY_STEPS = [512, 2048], 16, 2048, 1500
OUTLIER = 10.0
ENOUGH = 5  # pictures, and names, that a feature must fire on to count as one of both modalities
CORRELATED = 0.2


# Data


def picture(data: bytes) -> Image.Image:
    """On white: the model never sees transparency."""
    image = Image.open(io.BytesIO(data)).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


class Emoji:
    """One file of the corpus: pictures[style][i] and names[language][i] belong to concept i."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.documents = list(dict.fromkeys(frame["document"]))
        wide = {form: part.set_index("document").loc[self.documents] for form, part in frame.groupby("form")}
        self.pictures = {style: [picture(data) for data in wide[style]["image"]] for style in STYLES}
        self.names = {form: part["text"].tolist() for form, part in wide.items() if form not in STYLES}

    def __len__(self) -> int:
        return len(self.documents)


def corpus(part: str) -> Emoji:
    """All concepts of "train" or "heldout"; of the former also "fitted" and "validation", which the model's training
    sees and does not see."""
    frame = pd.read_parquet(EMOJI / f"{'heldout' if part == 'heldout' else 'train'}.parquet")
    if part in ("fitted", "validation"):
        tenth = frame["document"].map(lambda d: hashlib.sha256(f"validation {d}".encode()).digest()[0] < 26)
        frame = frame[tenth if part == "validation" else ~tenth]
    return Emoji(frame)


def new_tokenizer(names: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE; offsets point into the name as it is written."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = list(SPECIAL.values())
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(names, trainer)
    bos, eos = SPECIAL["bos_token"], SPECIAL["eos_token"]
    template = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(token, tokenizer.token_to_id(token)) for token in (bos, eos)]
    )
    tokenizer.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=True), template])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=LENGTH, padding_side="right", truncation_side="right", **SPECIAL
    )


def segmentations(names: list[str], tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """Token ids [1 + SEGMENTATIONS, n, LENGTH] of all names: first as they will be used, then with BPE dropout."""
    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.enable_padding(pad_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token, length=LENGTH)
    copy.enable_truncation(LENGTH)
    found = []
    for _ in range(1 + SEGMENTATIONS):
        found.append([encoding.ids for encoding in copy.encode_batch(names)])
        copy.model.dropout = BPE_DROPOUT
    return torch.tensor(found)


# Model


def new_model(tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": MLP,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "attention_dropout": 0.1,
        "projection_dim": PROJECTION,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = CLIPConfig(
        text_config=tower | text,
        vision_config=tower | {"image_size": SIZE, "patch_size": PATCH},
        projection_dim=PROJECTION,
    )
    return CLIPModel(config)


class Towers:
    """Both towers with the output of their last layer: what is pooled, all positions, and which of these count."""

    def __init__(self, model: CLIPModel) -> None:
        self.model = model
        self.seen: dict[str, Tensor] = {}
        for name in HOOKS:
            module = model.get_submodule(name)
            module.register_forward_hook(lambda module, inputs, output, name=name: self.seen.update({name: output}))

    def see(self, pixels: Tensor, kept: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures; with `kept`, only that many random patches of each."""
        tower = self.model.vision_model
        hidden = tower.embeddings(pixels)
        if kept is not None:
            chosen = 1 + torch.rand(len(hidden), hidden.shape[1] - 1).argsort(1)[:, :kept]
            chosen = torch.cat([torch.zeros(len(hidden), 1, dtype=torch.int64), chosen], 1)
            hidden = hidden.gather(1, chosen[:, :, None].expand(-1, -1, hidden.shape[2]))
        tower.encoder(inputs_embeds=tower.pre_layrnorm(hidden))
        output = self.seen[HOOKS[0]].float()
        counted = torch.ones(output.shape[:2], dtype=torch.bool)
        counted[:, 0] = False
        return output[:, 0], output, counted

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Names, cut to the longest of the batch; bos, eos and padding do not count."""
        config = self.model.config.text_config
        ids = ids[:, : int((ids != config.pad_token_id).sum(1).max())]
        self.model.text_model(input_ids=ids, attention_mask=(ids != config.pad_token_id).long())
        output = self.seen[HOOKS[1]].float()
        end = (ids == config.eos_token_id).int().argmax(1)
        position = torch.arange(ids.shape[1])
        counted = (position > 0) & (position < end[:, None])
        return output[torch.arange(len(ids)), end], output, counted

    def project(self, x: Tensor, tower: int) -> Tensor:
        model = self.model
        if tower == 0:
            return model.visual_projection(model.vision_model.post_layernorm(x)).float()
        return model.text_projection(model.text_model.final_layer_norm(x)).float()


def mean(output: Tensor, counted: Tensor) -> Tensor:
    return (output * counted[:, :, None]).sum(1) / counted.sum(1, keepdim=True)


def vary(pixels: Tensor) -> Tensor:
    """Shift, scale and a little colour; 1 is white and what comes in from outside is white. Never mirrored."""
    n = len(pixels)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = torch.empty(n).uniform_(0.85, 1.2)
    theta[:, :, 2] = torch.empty(n, 2).uniform_(-0.15, 0.15)
    moved = 1 - grid_sample(
        1 - pixels, affine_grid(theta, list(pixels.shape), align_corners=False), align_corners=False
    )
    gain = torch.empty(n, 3, 1, 1).uniform_(0.92, 1.08) * torch.empty(n, 1, 1, 1).uniform_(0.85, 1.1)
    return (moved * gain).clamp(-1, 1)


def contrast(views: Tensor, scale: Tensor | float) -> Tensor:
    """Views [v, concepts, d]: each pair of views of one concept against the views of all others in both modalities.

    Since the others include those of the anchor's own modality, a gap between the modalities costs.
    """
    count, concepts, _ = views.shape
    flat = normalize(views, dim=2).flatten(0, 1)
    scores = scale * flat @ flat.T
    concept = torch.arange(concepts).repeat(count)
    same = concept[:, None] == concept
    others = scores.masked_fill(same, -torch.inf).logsumexp(1, keepdim=True)
    losses = torch.logaddexp(scores, others) - scores
    return losses[same & ~torch.eye(len(flat), dtype=torch.bool)].mean()


def read_in_parts(towers: Towers, ids: Tensor, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """What is pooled, the means over tokens and the mean log norm; names of like length together, to pad less."""
    order = (ids != pad).sum(1).argsort()
    with torch.autocast("cpu", torch.bfloat16):
        parts = [towers.read(ids[rows]) for rows in order.chunk(3)]
    norms = torch.cat([output[counted].norm(dim=1) for _, output, counted in parts])
    means = torch.cat([mean(output, counted) for _, output, counted in parts])
    back = order.argsort()
    return torch.cat([pooled for pooled, _, _ in parts])[back], means[back], norms.log().mean()


def train_model(data: Emoji, check: Emoji) -> tuple[CLIPModel, PreTrainedTokenizerFast]:
    torch.manual_seed(SEED)
    languages = list(data.names)
    tokenizer = new_tokenizer([name for language in languages for name in data.names[language]])
    model = new_model(tokenizer)
    towers = Towers(model)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(data)} concepts", flush=True)
    ids = torch.stack([segmentations(data.names[language], tokenizer) for language in languages])
    pixels = torch.stack([torch.from_numpy(np.stack(data.pictures[style])) for style in STYLES])
    pixels = pixels.permute(0, 1, 4, 2, 3).contiguous()  # [style, concept, channel, row, column] in bytes
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    plain = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decayed, "weight_decay": DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, betas=(0.9, 0.98))
    order = torch.empty(0, dtype=torch.int64)
    started = time.time()
    model.train()
    for step in range(STEPS):
        if len(order) < CONCEPTS:
            order = torch.cat([order, torch.randperm(len(data))])
        chosen, order = order[:CONCEPTS], order[CONCEPTS:]
        for group in optimiser.param_groups:
            group["lr"] = RATE * min((step + 1) / WARMUP, 0.5 + 0.5 * np.cos(np.pi * step / STEPS))
        shown = vary(pixels[:, chosen].flatten(0, 1).float() / 127.5 - 1)
        language = torch.rand(len(chosen), len(languages)).argsort(1)[:, :NAMES].T
        # Half of the names as they are, half in another segmentation.
        variant = torch.randint(1 + 2 * SEGMENTATIONS, language.shape)
        variant = torch.where(variant > SEGMENTATIONS, 0, variant)
        named = ids[language, variant, chosen].flatten(0, 1)
        with torch.autocast("cpu", torch.bfloat16):
            pooled, output, counted = towers.see(shown, PATCHES if step < (1 - FULL_STEPS) * STEPS else None)
        sides = [
            (pooled, mean(output, counted), output[counted].norm(dim=1).log().mean()),
            read_in_parts(towers, named, tokenizer.pad_token_id),
        ]
        views = [
            towers.project(x, tower).unflatten(0, (-1, len(chosen)))
            for tower, (pooled, raw, _) in enumerate(sides)
            for x in (pooled, raw)
        ]
        loss = contrast(torch.cat(views), model.logit_scale.exp())
        loss_raw = contrast(torch.cat([raw.unflatten(0, (-1, len(chosen))) for _, raw, _ in sides]), RAW_SCALE)
        norms = [norm for _, _, norm in sides]
        total = loss + RAW_WEIGHT * loss_raw + NORM_WEIGHT * (norms[0] - norms[1]).square()
        optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(max=np.log(30.0))
        if step % 50 == 0 or step == STEPS - 1:
            parts = f"loss {loss.item():.3f} raw {loss_raw.item():.3f} scale {model.logit_scale.exp().item():.1f}"
            spread = f"norms {norms[0].exp().item():.1f} {norms[1].exp().item():.1f}"
            print(f"step {step}/{STEPS} {parts} {spread} {time.time() - started:.0f} s", flush=True)
        if step % 200 == 199 or step == STEPS - 1:
            print("validation", recalls(embed(model, tokenizer, processor(), check)), flush=True)
            model.train()
    return model, tokenizer


def processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"shortest_edge": SIZE},
        crop_size={"height": SIZE, "width": SIZE},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )


def write_model(model: CLIPModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    processor().save_pretrained(folder)


# Figures of the model


@torch.no_grad()
def embed(model, tokenizer, preprocess, data: Emoji) -> dict[str, dict[str, Tensor]]:
    """Unit embeddings, pooled and of the mean, by form."""
    model.eval()
    towers = Towers(model)
    found: dict[str, dict[str, Tensor]] = {"pooled": {}, "mean": {}}
    for form in [*STYLES, *data.names]:
        if form in STYLES:
            pixels = preprocess(images=data.pictures[form], return_tensors="pt")["pixel_values"]
            parts, tower = [towers.see(part) for part in pixels.split(256)], 0
        else:
            ids = tokenizer(data.names[form], padding=True, truncation=True, return_tensors="pt")["input_ids"]
            parts, tower = [towers.read(part) for part in ids.split(256)], 1
        pooled = torch.cat([part[0] for part in parts])
        means = torch.cat([mean(output, counted) for _, output, counted in parts])
        for kind, x in (("pooled", pooled), ("mean", means)):
            found[kind][form] = normalize(towers.project(x, tower), dim=1)
    return found


def recall(queries: Tensor, candidates: Tensor) -> float:
    return float(((queries @ candidates.T).argmax(1) == torch.arange(len(queries))).float().mean())


def recalls(embedded: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, float]]:
    """R@1 of one candidate a concept."""
    figures = {}
    for kind, by_form in embedded.items():
        languages = [form for form in by_form if form not in STYLES]
        pairs = {
            "google_to_english": [("google", "en")],
            "english_to_google": [("en", "google")],
            "fluent_to_english": [("fluent", "en")],
            "english_to_fluent": [("en", "fluent")],
            "google_to_fluent": [("google", "fluent")],
            "fluent_to_google": [("fluent", "google")],
            "name_to_google_16_languages": [(language, "google") for language in languages],
            "google_to_name_16_languages": [("google", language) for language in languages],
            "english_to_other_languages": [("en", language) for language in languages if language != "en"],
        }
        figures[kind] = {
            name: round(float(np.mean([recall(by_form[a], by_form[b]) for a, b in some])), 4)
            for name, some in pairs.items()
        }
    return figures


# Dictionaries


@torch.no_grad()
def positions(model, tokenizer, preprocess, data: Emoji) -> list[tuple[Tensor, Tensor, int]]:
    """Of each tower: the counted positions [n, d], the picture or name each belongs to, and how many forms there are.

    Pictures and names are numbered form by form, so that their number modulo the concepts is the concept.
    """
    model.eval()
    towers = Towers(model)
    sides = []
    for tower, forms in enumerate((STYLES, list(data.names))):
        rows, items = [], []
        for number, form in enumerate(forms):
            if tower == 0:
                given = preprocess(images=data.pictures[form], return_tensors="pt")["pixel_values"]
            else:
                given = tokenizer(data.names[form], padding=True, truncation=True, return_tensors="pt")["input_ids"]
            for start in range(0, len(data), 256):
                part = given[start : start + 256]
                _, output, counted = towers.read(part) if tower else towers.see(part)
                rows.append(output[counted])
                items.append(number * len(data) + start + counted.nonzero()[:, 0])
        x, item = torch.cat(rows), torch.cat(items)
        norms = x.norm(dim=1)
        kept = norms <= OUTLIER * norms.median()
        sides.append((x[kept], item[kept], len(forms)))
    return sides


class Autoencoder(torch.nn.Module):
    def __init__(self, mean: Tensor, width: int) -> None:
        super().__init__()
        rows = torch.randn(width, len(mean))
        rows /= rows.norm(dim=1, keepdim=True)
        self.W_dec = torch.nn.Parameter(rows)
        self.W_enc = torch.nn.Parameter(rows.T.clone())
        self.b_enc = torch.nn.Parameter(torch.zeros(width))
        self.b_dec = torch.nn.Parameter(mean.clone())

    def decode(self, indices: Tensor, values: Tensor) -> Tensor:
        return embedding_bag(indices, self.W_dec, mode="sum", per_sample_weights=values)


def shuffled(x: Tensor, size: int) -> Iterator[Tensor]:
    """Batches of x without end, in a new order each time round."""
    while True:
        for rows in torch.randperm(len(x)).split(size):
            if len(rows) == size:
                yield x[rows]


def train_dictionary(patches: Tensor, tokens: Tensor, width: int, scale: float, mean: Tensor) -> Autoencoder:
    """One dictionary on positions / scale; half of each batch is patches, half tokens."""
    torch.manual_seed(width)
    model = Autoencoder(mean / scale, width)
    peak = 3e-4 / (width / 2**14) ** 0.5
    optimiser = torch.optim.Adam(model.parameters(), lr=peak, betas=(0.9, 0.999))
    halves = shuffled(patches, BATCH // 2), shuffled(tokens, BATCH // 2)
    silent_for = torch.zeros(width)
    for step in range(DICTIONARY_STEPS):
        batch = torch.cat([next(half) for half in halves]) / scale
        for group in optimiser.param_groups:
            group["lr"] = peak * min(1.0, (step + 1) / 100, (DICTIONARY_STEPS - step) / (0.3 * DICTIONARY_STEPS))
        hidden = (batch - model.b_dec) @ model.W_enc + model.b_enc
        top = hidden.topk(K, dim=1)
        values = top.values.relu()
        error = batch - model.b_dec - model.decode(top.indices, values)
        loss = error.square().sum(1).mean()
        silent_for += 1
        silent_for[top.indices[values > 0].unique()] = 0
        dead = silent_for > 100
        if dead.any():
            # AuxK: the features that have fallen silent explain what the others leave over.
            chosen = hidden.masked_fill(~dead, -torch.inf).topk(min(64, int(dead.sum())), dim=1)
            rest = error.detach() - model.decode(chosen.indices, chosen.values.relu())
            loss = loss + rest.square().sum(1).mean() / 32
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0 * len(mean) ** 0.5)
        optimiser.step()
        with torch.no_grad():
            model.W_dec /= model.W_dec.norm(dim=1, keepdim=True)
        if step % 200 == 0 or step == DICTIONARY_STEPS - 1:
            print(
                f"width {width} step {step}/{DICTIONARY_STEPS} loss {loss.item():.2f} dead {int(dead.sum())}",
                flush=True,
            )
    return model


def write_dictionary(model: Autoencoder, scale: float, folder: Path) -> None:
    """A SAELens folder in the units of the hook: with unit decoder rows, f, b_enc and b_dec carry the scale."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        "W_enc": model.W_enc,
        "b_enc": model.b_enc * scale,
        "W_dec": model.W_dec,
        "b_dec": model.b_dec * scale,
    }
    save_file({k: v.detach().half().contiguous() for k, v in tensors.items()}, folder / "sae_weights.safetensors")
    config = {
        "architecture": "topk",
        "d_in": model.W_enc.shape[0],
        "d_sae": model.W_enc.shape[1],
        "k": K,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "rescale_acts_by_decoder_norm": False,
        "metadata": {
            "sae_lens_version": "6.54.12",
            "model_name": "emoji-clip",
            "model_class_name": "CLIPModel",
            "hook_name": "+".join(HOOKS),
            "context_size": LENGTH,
            "prepend_bos": True,
        },
    }
    (folder / "cfg.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def train_dictionaries() -> None:
    sides = positions(*read_model(), corpus("train"))
    few = min(len(x) for x, _, _ in sides)
    torch.manual_seed(SEED)
    even = torch.cat([x[torch.randperm(len(x))[:few]] for x, _, _ in sides])
    mean, scale = even.mean(0), float(even.square().sum(1).mean().sqrt() / even.shape[1] ** 0.5)
    for width in WIDTHS:
        started = time.time()
        dictionary = train_dictionary(sides[0][0], sides[1][0], width, scale, mean)
        write_dictionary(dictionary, scale, HERE / f"w{width}")
        print(f"width {width}: {time.time() - started:.0f} s", flush=True)


# Figures of the dictionaries


def dictionary_figures(
    folder: Path, sides: list[tuple[Tensor, Tensor, int]], concepts: int
) -> dict[str, float | int | str]:
    """The written dictionary on the positions of both towers."""
    dictionary = load_dictionary(folder)
    figures: dict[str, float | int | str] = {}
    fired, strongest = [], []
    for kind, (x, item, forms) in zip(("pictures", "names"), sides, strict=True):
        rows, features, values = (torch.as_tensor(part) for part in dictionary.encode_sparse(x))
        residual = (x - dictionary.decode_sparse(rows, features, values, len(x))).double().square().sum()
        total = (x - x.mean(0)).double().square().sum()
        figures[f"explained_variance_{kind}"] = round(float(1 - residual / total), 4)
        figures[f"l0_{kind}"] = round(len(rows) / len(x), 2)
        highest = torch.zeros(forms * concepts, dictionary.width)
        highest.view(-1).scatter_reduce_(0, item[rows] * dictionary.width + features, values, "amax")
        fired.append((highest > 0).sum(0))
        strongest.append(highest.unflatten(0, (forms, concepts)).amax(0))
    seen, read = (count >= ENOUGH for count in fired)
    figures["never_fired"] = int(((fired[0] == 0) & (fired[1] == 0)).sum())
    figures["pictures_only"] = int((seen & ~read).sum())
    figures["names_only"] = int((read & ~seen).sum())
    figures["both"] = int((seen & read).sum())
    figures["share_both"] = round(float((seen & read).float().mean()), 4)
    # Whether a feature of both fires on the same concepts in both; the chance level pairs each concept with another.
    a, b = (normalize(x[:, seen & read] - x[:, seen & read].mean(0), dim=0) for x in strongest)
    figures["correlation_both"] = round(float((a * b).sum(0).mean()), 4)
    figures["correlation_both_chance"] = round(float((a * b.roll(1, 0)).sum(0).mean()), 4)
    figures["share_both_correlated"] = round(float(((a * b).sum(0) > CORRELATED).float().mean()), 4)
    figures["share_both_correlated_chance"] = round(float(((a * b.roll(1, 0)).sum(0) > CORRELATED).float().mean()), 4)
    figures["sha256"] = hashlib.sha256((folder / "sae_weights.safetensors").read_bytes()).hexdigest()
    return figures


def read_model():
    """The written model, tokenizer and preprocessing, as anyone else loads them."""
    folder = MODEL
    model = CLIPModel.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)


def write_figures() -> None:
    loaded = read_model()
    record = tomlkit.parse((HERE / "dataset.toml").read_text("utf-8"))
    record["model"] = {
        "parameters": sum(p.numel() for p in loaded[0].parameters()),
        "hooks": HOOKS,
        "sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(),
    }
    record["recall_at_1"] = tomlkit.table()
    for part in ("heldout", "validation", "fitted"):
        data = corpus(part)
        table = tomlkit.table()
        table["candidates"] = len(data)
        table["chance"] = round(1 / len(data), 4)
        table.update(recalls(embed(*loaded, data)))
        record["recall_at_1"][part] = table
        print(part, table, flush=True)
    heldout, known = corpus("heldout"), corpus("train")
    sides, known_sides = positions(*loaded, heldout), positions(*loaded, known)
    means = [x.mean(0) for x, _, _ in sides]
    within = float(np.mean([float((x - x.mean(0)).square().sum(1).mean()) for x, _, _ in sides]))
    between = float((means[0] - means[1]).square().sum()) / 4
    record["positions"] = {
        "heldout_patches": len(sides[0][0]),
        "heldout_tokens": len(sides[1][0]),
        "median_norm_patches": round(float(sides[0][0].norm(dim=1).median()), 2),
        "median_norm_tokens": round(float(sides[1][0].norm(dim=1).median()), 2),
        "share_of_variance_between_towers": round(between / (within + between), 4),
    }
    print(record["positions"], flush=True)
    for width in WIDTHS:
        folder = HERE / f"w{width}"
        record[folder.name] = dictionary_figures(folder, sides, len(heldout))
        # Beside it what random directions get, which fire in both modalities too, and the concepts of the training.
        with tempfile.TemporaryDirectory() as temporary:
            torch.manual_seed(width)
            write_dictionary(Autoencoder((means[0] + means[1]) / 2, width), 1.0, Path(temporary))
            others = {
                "untrained": dictionary_figures(Path(temporary), sides, len(heldout)),
                "on_training": dictionary_figures(folder, known_sides, len(known)),
                "untrained_on_training": dictionary_figures(Path(temporary), known_sides, len(known)),
            }
        for name in ("share_both", "correlation_both", "share_both_correlated"):
            record[folder.name].update({f"{name}_{other}": figures[name] for other, figures in others.items()})
        print(folder.name, record[folder.name], flush=True)
    (HERE / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=["model", "dictionaries", "figures"], help="the figures are always written")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.only in (None, "model"):
        write_model(*train_model(corpus("fitted"), corpus("validation")), MODEL)
    if args.only in (None, "dictionaries"):
        train_dictionaries()
    write_figures()


if __name__ == "__main__":
    main()
