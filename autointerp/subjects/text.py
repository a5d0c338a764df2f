"""Text subjects: any transformers language model or encoder, and vision-language models, which also see pictures.

GGUF files are converted once.
"""

import copy
import hashlib
import inspect
import logging
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from itertools import count, repeat
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
)
from transformers.utils.logging import disable_progress_bar

from autointerp import assets
from autointerp.errors import UserError
from autointerp.subjects.hooks import replaced, resolve, run_to_hooks
from autointerp.subjects.subject import Edit, Modality, Seen, first_line, permuted, says_nothing

disable_progress_bar()  # a bar per model load says nothing in a log; ours show the long work

log = logging.getLogger(__name__)


class TextSubject:
    """A model, its tokenizer, and the two things a harness needs of them: tokens and hook outputs."""

    def __init__(self, model: nn.Module, tokenizer: Any, name: str, device: str | torch.device = "cpu") -> None:
        self.model = model.eval().requires_grad_(False).to(device)
        self.tokenizer = tokenizer
        self.name = name
        self.device = torch.device(device)
        # What the tokenizer itself would put around a text: <bos> for some decoders, [CLS] … [SEP] for encoders.
        probe = tokenizer("a", return_special_tokens_mask=True)
        special = [bool(flag) for flag in probe["special_tokens_mask"]]
        body = special.index(False)
        self.prefix: list[int] = probe["input_ids"][:body]
        self.suffix: list[int] = probe["input_ids"][len(special) - special[::-1].index(False) :]
        self.special_ids = frozenset(int(i) for i in tokenizer.all_special_ids)
        # A tokenizer that gives no mask belongs to a model that attends to padding.
        self.attends = "attention_mask" in tokenizer.model_input_names
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.pad_id = int(pad or 0)
        self._takes = inspect.signature(model.forward).parameters.keys()
        if self.has_loss:
            # What follows a text is what the logits say: the penalties and limits that a maker ships would change it.
            self._ends = ends_of(model)
            self.model.generation_config = GenerationConfig(eos_token_id=self._ends or None, pad_token_id=self.pad_id)

    def resolve(self, hook: str) -> str:
        return resolve(self.model, hook)

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Token ids of a text without special tokens, and the piece of the text that each one stands for.

        The pieces join to the text: a token that is part of one character gets the character or nothing.
        """
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        pieces, end = [], 0
        for _, stop in encoded["offset_mapping"]:
            pieces.append(text[end:stop])
            end = max(end, stop)
        if pieces:
            pieces[-1] += text[end:]  # what the tokenizer drops at the end, such as a line break
        return list(encoded["input_ids"]), pieces

    def alone(self, text: str, length: int) -> list[int]:
        """A text as a context of its own: at most `length` tokens, the special ones around it among them."""
        body = length - len(self.prefix) - len(self.suffix)
        return [*self.prefix, *self.encode(text)[0][:body], *self.suffix]

    def reads(self, hooks: Sequence[str]) -> frozenset[Modality]:
        return frozenset({"text"})

    def length(self, hooks: Sequence[str], context_length: int) -> int:
        return context_length

    def look(self, picture: Image.Image, text: str, hooks: Sequence[str]) -> Seen:
        raise NotImplementedError("a text subject sees no picture")

    def hidden(
        self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str], images: Sequence[bytes] = ()
    ) -> dict[str, Tensor]:
        """Hook outputs [n, length, d] for contexts padded on the right to one fixed length.

        The length is fixed, not that of the longest context, so an activation never depends on its batch.
        """
        parts: list[tuple[Sequence[int], dict[str, Tensor]]] = []
        for rows, inputs in self._passes(contexts, length, images):
            outputs = run_to_hooks(self.model, hooks, partial(self.model, **inputs))
            for hook, value in outputs.items():
                if value.ndim != 3 or value.shape[:2] != (len(rows), length):
                    raise UserError(
                        f"you asked for the hook {hook!r}",
                        f"its output has shape {tuple(value.shape)}, not [batch, tokens, d]",
                        "choose a module that puts out one vector per token",
                    )
            parts.append((rows, outputs))
        return {hook: in_order([(rows, outputs[hook]) for rows, outputs in parts]) for hook in hooks}

    @property
    def has_loss(self) -> bool:
        """Whether it predicts the next token."""
        return isinstance(self.model, GenerationMixin) and self.model.get_output_embeddings() is not None

    def losses(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor:
        """Cross-entropy of the next token in nats, float32 [n, length - 1], nan where there is none.

        `edits` change the outputs [n, length, d] of the modules they name before the layers behind them read them.
        Contexts with a picture and those without are read apart, so an edit may see them in parts.
        """
        parts = []
        for rows, inputs in self._passes(contexts, length, images):
            with torch.inference_mode(), replaced(self.model, aware(edits, rows, lambda: repeat(length))):
                logits = self.model(**inputs).logits
            ids, known = inputs["input_ids"], self._predicted(inputs)
            loss = torch.nn.functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
            ).view(len(ids), -1)
            parts.append((rows, loss.masked_fill(~known[:, 1:], torch.nan)))
        return in_order(parts)

    def logits(
        self,
        contexts: Sequence[Sequence[int]],
        length: int,
        edits: Mapping[str, Edit],
        images: Sequence[bytes] = (),
    ) -> Tensor:
        """Logits of the token behind each context, float32 [n, vocabulary]; edits as in `losses`.

        What an edit puts out may require a gradient, and the logits then have one. Of a single context it may put out
        several versions [m, length, d], which part ways from there: [m, vocabulary], and what is in front runs once.
        """
        if not self.has_loss:
            raise says_nothing(self.name)
        parts = []
        for rows, inputs in self._passes(contexts, length, images):
            last = torch.tensor([len(contexts[row]) - 1 for row in rows], device=self.device)
            kept = torch.arange(length, device=self.device)
            if "logits_to_keep" in self._takes:
                kept = torch.tensor(sorted(set(last.tolist())), device=self.device)
                inputs["logits_to_keep"] = kept
            with replaced(self.model, aware(edits, rows, lambda: repeat(length))):
                found = self.model(**inputs).logits.float()
            place = torch.searchsorted(kept, last)
            # The place of one context holds for all its versions.
            parts.append((rows, found[:, int(place)] if len(rows) == 1 else found[torch.arange(len(rows)), place]))
        return in_order(parts)

    def generate(
        self,
        contexts: Sequence[Sequence[int]],
        max_new_tokens: int,
        edits: Mapping[str, Edit],
        seeds: Sequence[int] | None = None,
        temperature: float = 1.0,
        images: Sequence[bytes] = (),
    ) -> list[list[int]]:
        """The tokens that follow each context, up to the one that ends the text, which is left out.

        The likeliest token at each step, or, with a seed for each context, one drawn from the softmax of
        logits / temperature: the same seed draws with the same luck, whatever the batch and the edits. At each step an
        edit sees what is read anew: the context first, then one token after another (or all of it where there is no
        cache), and `at` counts on from the context. Contexts of one length are read together, so nothing is padded.
        """
        if not self.has_loss:
            raise says_nothing(self.name)
        found: list[list[int]] = [[] for _ in contexts]
        model: Any = self.model
        for length in sorted({len(tokens) for tokens in contexts}):
            alike = [at for at, tokens in enumerate(contexts) if len(tokens) == length]
            pictures = [images[at] for at in alike] if images else ()
            for part, inputs in self._passes([contexts[at] for at in alike], length, pictures):
                rows = [alike[at] for at in part]
                luck = [] if seeds is None else [Luck([seeds[row] for row in rows], temperature)]
                with replaced(self.model, aware(edits, rows, partial(count, length))):
                    written = model.generate(
                        **inputs,
                        max_new_tokens=max_new_tokens,
                        do_sample=False,
                        logits_processor=LogitsProcessorList(luck),
                    )
                for row, tokens in zip(rows, written[:, length:].tolist(), strict=True):
                    end = next((at for at, token in enumerate(tokens) if token in self._ends), len(tokens))
                    found[row] = tokens[:end]
        return found

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(tokens, skip_special_tokens=True))

    def _predicted(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The tokens that can be predicted, bool [n, length]."""
        return inputs["attention_mask"] != 0

    def shuffled(self, seed: int) -> "TextSubject":
        """The same model with the entries of every weight matrix permuted."""
        model = copy.deepcopy(self.model)
        permuted(model, seed)
        return TextSubject(model, self.tokenizer, f"{self.name} with shuffled weights", self.device)

    def _passes(
        self, contexts: Sequence[Sequence[int]], length: int, images: Sequence[bytes]
    ) -> list[tuple[Sequence[int], dict[str, Tensor]]]:
        """The forward passes that read the contexts: which of them, and the model's arguments."""
        ids, mask = self._padded(contexts, length)
        inputs = {"input_ids": ids, "attention_mask": mask}
        return [(range(len(contexts)), inputs)]

    def _padded(self, contexts: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
        """(ids, attention mask) int64 [n, length], padded on the right."""
        ids = torch.full((len(contexts), length), self.pad_id, dtype=torch.int64)
        mask = torch.zeros((len(contexts), length), dtype=torch.int64)
        for row, tokens in enumerate(contexts):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens) if self.attends else length] = 1
        return ids.to(self.device), mask.to(self.device)


def aware(
    edits: Mapping[str, Edit], rows: Sequence[int], lengths: Callable[[], Iterator[int]]
) -> dict[str, Callable[[Tensor], Tensor]]:
    """Edits that know where an output belongs: it holds the last positions of these contexts as far as they are read.

    `lengths` counts how far that is, call by call of the model.
    """

    def locate(hook: str, edit: Edit) -> Callable[[Tensor], Tensor]:
        reached = lengths()

        def change(hidden: Tensor) -> Tensor:
            end = next(reached)
            if hidden.ndim != 3 or len(hidden) != len(rows) or hidden.shape[1] > end:
                raise UserError(
                    f"you asked for a change at the hook {hook!r}",
                    f"its output has shape {tuple(hidden.shape)}, not [batch, tokens, d]",
                    "choose a module that puts out one vector per token",
                )
            row = torch.tensor(rows, device=hidden.device)[:, None]
            return edit(hidden, (row, torch.arange(end - hidden.shape[1], end, device=hidden.device)[None]))

        return change

    return {hook: locate(hook, edit) for hook, edit in edits.items()}


class Luck(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped
    """Gumbel noise on logits / temperature: the largest sum is a draw from their softmax (Gumbel-max trick).

    Each row has a generator of its own, so a draw depends on its seed and not on the batch.
    """

    def __init__(self, seeds: Sequence[int], temperature: float) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.temperature = temperature

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        waits = [torch.empty(scores.shape[1]).exponential_(generator=generator) for generator in self.generators]
        return scores.float() / self.temperature - torch.stack(waits).log().to(scores.device)


def ends_of(model: Any) -> list[int]:
    """The tokens that end a text, as the model's maker has it."""
    ends = model.generation_config.eos_token_id
    return [] if ends is None else [ends] if isinstance(ends, int) else list(ends)


def in_order(parts: Sequence[tuple[Sequence[int], Tensor]]) -> Tensor:
    """Rows of several passes as one tensor, in the order of the contexts."""
    if len(parts) == 1:
        return parts[0][1]
    place = torch.tensor([row for rows, _ in parts for row in rows])
    return torch.cat([values for _, values in parts])[place.argsort()]


def convert_gguf(path: Path) -> Path:
    """Turn a GGUF file into a float32 transformers folder in the user's cache, once.

    Dequantising takes most of a minute; the converted copy loads in under a second. Raises UserError for a file that
    transformers cannot read, and where a package that it needs for that is not installed.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    target = assets.cache() / "models" / f"{path.stem}-{digest}"
    if (target / "config.json").exists():
        return target
    asked = f"you asked for the subject {path.name}"
    for package in ("gguf", "accelerate"):
        if find_spec(package) is None:
            found = f"the package {package!r} is not installed, and GGUF files are read with it"
            raise UserError(asked, found, "pip install 'autointerp[local]'")
    log.info("converting %s once, into %s", path.name, target)
    source, name = str(path.parent), path.name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
        model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
    except Exception as error:  # a damaged file ends its reader in many ways
        found = f"transformers cannot load it ({first_line(error)})"
        raise UserError(asked, found, "give a whole GGUF file of a language model that it knows") from None
    # The weights are plain float32 from here on; left in place, these would ask for dequantisation again.
    model.hf_quantizer = None
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    partial.rename(target)
    return target


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    located = assets.locate(sys.argv[1])
    if located is not None:
        print(convert_gguf(located))
