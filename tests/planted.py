"""A planted subject: every feature is a known rule about words, so what a run says can be held against the truth.

The subject's `model.embed_tokens` gives one scaled axis per word, and feature j of the dictionary reads the axes of
`RULES[j]`. Explainers and judges are the functions at the end, put in place of a model by the scripted provider; each
has the property that its name says. Every line of a document opens with one word and is one context long, so the
position rule (no first position, no special token) hides that word and a judge can know the truth from the text alone.
"""

import hashlib
import json
import os
import random
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

from autointerp.llm.protocol import Reply, Request

HOOK = "model.embed_tokens"
LENGTH, WINDOW = 16, 8
PAD, UNKNOWN, END = "<pad>", "<unk>", "<eos>"
OPENER = "chapter"
TOPICS = {
    "sea": ("boat", "wave", "sail", "tide", "harbour"),
    "farm": ("cow", "horse", "barn", "plough", "hay"),
    "sky": ("rain", "snow", "cloud", "storm", "wind"),
    "kitchen": ("bread", "butter", "oven", "spoon", "salt"),
    "music": ("drum", "flute", "choir", "song", "violin"),
}
FILLERS = ("the", "a", "of", "and", "in", "to", "with", "on", "at", "by", "one", "some", "this", "that", "many", "old")
RARE, UNWRITTEN = "comet", ("quartz", "glacier", "lantern")
VOCABULARY = (
    PAD,
    UNKNOWN,
    END,
    OPENER,
    *(word for topic in TOPICS.values() for word in topic),
    *FILLERS,
    RARE,
    *UNWRITTEN,
)
RULES: tuple[tuple[str, ...], ...] = (
    ("boat", "wave", "sail"),
    ("cow", "horse"),
    (OPENER,),  # only at first positions: dead by the position rule
    ("rain", "snow", "cloud", "storm"),
    ("bread", "butter", "oven"),
    (END,),  # only on a special token: dead by the position rule
    ("drum", "flute", "choir", "song", "violin"),
    ("tide",),
    ("barn",),
    (RARE,),  # written in two documents: too few firings to score
    ("wind",),
    ("spoon",),
    UNWRITTEN,  # in no document: dead
    ("salt", "harbour"),
    ("the",),
    ("boat",),  # suppressed by its bias: dead
)
SUPPRESSED = 15
DEAD = frozenset({2, 5, 12, SUPPRESSED})
TOO_RARE = 9
SCORABLE = frozenset(range(len(RULES))) - DEAD - {TOO_RARE}
B_DEC, THRESHOLD = 0.01, 0.1
NORMS = np.array([0.5 + 0.25 * (feature % 7) for feature in range(len(RULES))])  # |W_dec|: never left at 1 on purpose


def loudness(word: str) -> float:
    """How far the subject puts a word along its axis."""
    return 0.5 + 0.5 * (VOCABULARY.index(word) % 6)


def activation(feature: int, word: str) -> float:
    """a_i on a word, worked out from the weights by hand: f = (loudness - b_dec's share) / norm, times the norm."""
    rule = RULES[feature]
    return loudness(word) - B_DEC * len(rule) if word in rule and feature != SUPPRESSED else 0.0


@dataclass(frozen=True)
class Planted:
    """The folder with subject/, dictionary/ and corpus.jsonl, and the documents as lines of words."""

    folder: Path
    documents: Mapping[str, tuple[tuple[str, ...], ...]]

    def lines(self) -> list[tuple[str, tuple[str, ...]]]:
        """(document, words) of every line that is a whole context."""
        return [(name, line) for name, lines in self.documents.items() for line in lines if len(line) == LENGTH]


def counted(line: tuple[str, ...]) -> list[str]:
    """The words of a context at positions that count."""
    return [word for word in line[1:] if word != END]


def plant(folder: Path, n_documents: int = 48, seed: int = 0) -> Planted:
    write_subject(folder / "subject")
    write_dictionary(folder / "dictionary")
    documents = write_corpus(folder / "corpus.jsonl", n_documents, seed)
    return Planted(folder, documents)


def write_subject(path: Path) -> None:
    words = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=UNKNOWN, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False
    )
    fast.save_pretrained(path)
    set_seed(0)
    config = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=len(VOCABULARY),
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        head_dim=4,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.diag(torch.tensor([loudness(word) for word in VOCABULARY])))
    model.save_pretrained(path)


def weights() -> dict[str, torch.Tensor]:
    """A jumprelu dictionary of the rules, with decoder rows of the lengths NORMS and encoder columns that undo them."""
    reads = torch.tensor([[float(word in rule) for rule in RULES] for word in VOCABULARY])
    bias = torch.zeros(len(RULES))
    bias[SUPPRESSED] = -100.0
    norms = torch.tensor(NORMS, dtype=torch.float32)
    rows = reads.T / reads.T.norm(dim=1, keepdim=True)
    return {
        "W_enc": (reads / norms).contiguous(),
        "W_dec": (rows * norms[:, None]).contiguous(),
        "b_enc": bias,
        "b_dec": torch.full((len(VOCABULARY),), B_DEC),
        "threshold": torch.full((len(RULES),), THRESHOLD),
    }


def write_dictionary(path: Path, tensors: dict[str, torch.Tensor] | None = None, **cfg: Any) -> Path:
    """A SAELens folder; `cfg` overrides what its config says."""
    tensors = tensors or weights()
    path.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path / "sae_weights.safetensors")
    said = {
        "architecture": "jumprelu",
        "d_in": tensors["W_enc"].shape[0],
        "d_sae": tensors["W_enc"].shape[1],
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "metadata": {"hook_name": HOOK},
    }
    (path / "cfg.json").write_text(json.dumps(said | cfg), "utf-8")
    return path


def write_corpus(path: Path, n_documents: int, seed: int) -> dict[str, tuple[tuple[str, ...], ...]]:
    """Documents of one topic each: two lines of one context, and in every fourth document a tail too short to use."""
    rng = random.Random(seed)
    topics = list(TOPICS.values())
    documents: dict[str, tuple[tuple[str, ...], ...]] = {}
    for number in range(n_documents):
        topic = topics[number % len(topics)]

        def word(topic: tuple[str, ...] = topic) -> str:
            dice = rng.random()
            if dice < 0.35:
                return rng.choice(topic)
            return rng.choice(rng.choice(topics)) if dice < 0.42 else rng.choice(FILLERS)

        lines = [[OPENER, *(word() for _ in range(LENGTH - 1))] for _ in range(2)]
        if number < 2:
            lines[0][5] = RARE
        if number % 6 == 0:
            lines[1][9] = END
        if number % 4 == 0:
            lines.append([OPENER, *(word() for _ in range(4))])
        documents[f"d{number:03}"] = tuple(tuple(line) for line in lines)
    rows = [
        {"document": name, "text": "\n".join(" ".join(line) for line in lines)} for name, lines in documents.items()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return documents


def settings(planted: Planted, name: str = "planted") -> dict[str, Any]:
    """A complete run with small numbers: an explainer and a judge that know the rules, and the lexical explainer."""
    return {
        "name": name,
        "seed": 3,
        "subject": {"model": str(planted.folder / "subject"), "device": "cpu"},
        "corpus": {
            "path": str(planted.folder / "corpus.jsonl"),
            "contexts": 1000,
            "context_length": LENGTH,
            "contexts_per_document": 10,
        },
        "positions": {"norm_limit": 0.0},
        "dictionaries": {"rules": {"path": str(planted.folder / "dictionary")}},
        "collect": {"keep": 8, "batch_size": 16},
        "evidence": {
            "features": len(RULES),
            "window": WINDOW,
            "bins": 3,
            "per_bin": 3,
            "negatives": 9,
            "min_firing": 3,
            "pool": 256,
        },
        "explainers": {"knows": scripted("explain_knowing"), "lexical": {"kind": "lexical"}},
        "scorers": {"judge": scripted("judge_knowing", explainers=["knows"])},
        "score": {"resamples": 100},
        "circularity": {"allow": "the judge is a function whose rule is known"},
    }


def scripted(function: str, **more: Any) -> dict[str, Any]:
    """A role played by a function of this module."""
    return scripted_in(__name__, function, **more)


def scripted_in(module: str, function: str, **more: Any) -> dict[str, Any]:
    """A role played by a function of some module."""
    return {"kind": "llm", "provider": "scripted", "model": f"{module}:{function}", **more}


def write_config(path: Path, tree: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(tree), "utf-8")
    return path


# The functions in the place of a model. PLANTED_CALLS names a file that gets a line per call; with PLANTED_DIE_AT = n
# the n-th call of a process kills it instead of answering.

Script = Callable[[Request], Any]
asked: list[Request] = []  # every request of this process, in order


def recorded(script: Script) -> Script:
    def call(request: Request) -> Any:
        asked.append(request)
        if len(asked) == int(os.environ.get("PLANTED_DIE_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        if "PLANTED_CALLS" in os.environ:
            with open(os.environ["PLANTED_CALLS"], "a", encoding="utf-8") as calls:
                calls.write(f"{script.__name__} {fingerprint(request)} {request.sample}\n")
        return script(request)

    return call


def fingerprint(request: Request) -> str:
    return hashlib.sha256(request.content.encode()).hexdigest()


def description(request: Request) -> str:
    return str(json.loads(request.content.split("\n")[0])["description"])


def excerpts(request: Request) -> list[str]:
    """The texts that a judge is shown, by id."""
    return [json.loads(line)["text"] for line in request.content.split("\n")[1:]]


def verdicts(fits: list[bool]) -> dict[str, Any]:
    return {"answers": [{"id": number, "fits": fit} for number, fit in enumerate(fits)]}


@recorded
def explain_knowing(request: Request) -> dict[str, str]:
    """Names all words of the smallest rule that holds every marked word."""
    marked = {word for run in re.findall(r"\[\[(.*?)\]\]", request.content) for word in run.split()}
    rule = min((rule for rule in RULES if marked <= set(rule)), key=len)
    return {"explanation": f"any of: {', '.join(rule)}"}


@recorded
def explain_nonsense(request: Request) -> str:
    return "banana"


def asked_for(request: Request) -> str:
    """The field that an answer has beside its id: it tells the question. Over HTTP, only detection is asked here."""
    if request.schema is None:
        return "fits"
    (field,) = set(request.schema["properties"]["answers"]["items"]["properties"]) - {"id"}
    return str(field)


def answered(request: Request, answers: list[Any]) -> dict[str, Any]:
    field = asked_for(request)
    return {"answers": [{"id": number, field: answer} for number, answer in enumerate(answers)]}


def described(request: Request) -> set[str]:
    return set(description(request).removeprefix("any of: ").split(", "))


@recorded
def judge_knowing(request: Request) -> dict[str, Any]:
    """Fits exactly where a word of the description stands in the text, and so on for the other questions."""
    words, field = described(request), asked_for(request)
    if field == "activations":
        shown = [json.loads(line)["tokens"] for line in request.content.split("\n")[1:]]
        return answered(request, [[10 * (token.strip() in words) for token in tokens] for tokens in shown])
    if field == "fits":
        return verdicts([bool(words & set(text.split())) for text in excerpts(request)])
    held = [{word for run in re.findall(r"\[\[(.*?)\]\]", text) for word in run.split()} for text in excerpts(request)]
    return answered(request, [marked <= words if field == "right" else 3 * (marked <= words) for marked in held])


@recorded
def write_knowing(request: Request) -> dict[str, Any]:
    """Texts that hold a word of the description each, and near misses that hold none."""
    told = json.loads(request.content)
    words = sorted(set(told["description"].removeprefix("any of: ").split(", ")) & set(VOCABULARY)) or FILLERS[1:]
    texts = [f"{OPENER} of {words[n % len(words)]} {FILLERS[n]} {FILLERS[-n]}" for n in range(1, told["texts"] + 1)]
    return {
        "texts": texts,
        "near_misses": [f"{OPENER} of {FILLERS[2 + n]} {FILLERS[3 + n]}" for n in range(told["near_misses"])],
    }


@recorded
def judge_ignoring(request: Request) -> dict[str, Any]:
    """Looks at the text alone, whatever the description."""
    return verdicts([hashlib.sha256(text.encode()).digest()[0] % 2 == 0 for text in excerpts(request)])


def fails(request: Request) -> bool:
    return int(fingerprint(request), 16) % 3 == 0


@recorded
def judge_failing(request: Request) -> Any:
    """As judge_knowing, but on every third question, and whenever it is asked again, words instead of an answer."""
    words = set(description(request).removeprefix("any of: ").split(", "))
    right = verdicts([bool(words & set(text.split())) for text in excerpts(request)])
    return "I would rather talk about the weather." if fails(request) else right


@recorded
def judge_nonsense(request: Request) -> str:
    return "banana"


@recorded
def judge_disguised(request: Request) -> Reply:
    """Judges as it should, and answers as the subject: what an alias may turn out to be."""
    fits = [True] * len(excerpts(request))
    return Reply(json.dumps(verdicts(fits)), "subject", answer=verdicts(fits))
