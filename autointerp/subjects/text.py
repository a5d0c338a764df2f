"""Text subjects: any transformers causal language model or encoder; GGUF files are converted once."""

import copy
import hashlib
import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer, GenerationMixin
from transformers.utils.logging import disable_progress_bar

from autointerp import assets
from autointerp.config import SubjectConfig
from autointerp.errors import UserError
from autointerp.subjects.hooks import replaced, resolve, run_to_hooks

disable_progress_bar()  # a bar per model load says nothing in a log; ours show the long work

log = logging.getLogger(__name__)


def choose_device(name: str) -> torch.device:
    if name != "auto":
        return torch.device(name)
    # Not mps: it has no float64, in which the sums behind explained variance are kept.
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        self.pad_id = int(pad or 0)

    @classmethod
    def load(cls, config: SubjectConfig) -> "TextSubject":
        location = assets.locate(config.model)
        if location is not None and location.suffix == ".gguf":
            location = convert_gguf(location)
        source = str(location or config.model)
        dtype = getattr(torch, config.dtype)
        try:
            architecture = (AutoConfig.from_pretrained(source).architectures or [""])[0]
            kind = AutoModelForCausalLM if "CausalLM" in architecture or "LMHead" in architecture else AutoModel
            tokenizer = AutoTokenizer.from_pretrained(source)
            model = kind.from_pretrained(source, dtype=dtype)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"you asked for the subject {config.model!r}",
                f"transformers cannot load it ({reason})",
                "give a folder with config.json, weights and tokenizer, or a hub id while online",
            ) from None
        return cls(model, tokenizer, config.model, choose_device(config.device))

    def resolve(self, hook: str) -> str:
        return resolve(self.model, hook)

    def encode(self, text: str) -> tuple[list[int], list[str]]:
        """Token ids of a text without special tokens, and the piece of the text that each one stands for.

        The pieces join to the text: a token that is part of one character gets the character or nothing.
        """
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
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

    def hidden(self, contexts: Sequence[Sequence[int]], length: int, hooks: Sequence[str]) -> dict[str, Tensor]:
        """Hook outputs [n, length, d] for contexts padded on the right to one fixed length.

        The length is fixed, not that of the longest context, so an activation never depends on its batch.
        """
        ids, mask = self._padded(contexts, length)
        outputs = run_to_hooks(self.model, hooks, lambda: self.model(input_ids=ids, attention_mask=mask))
        for hook, value in outputs.items():
            if value.ndim != 3 or value.shape[:2] != ids.shape:
                raise UserError(
                    f"you asked for the hook {hook!r}",
                    f"its output has shape {tuple(value.shape)}, not [batch, tokens, d]",
                    "choose a module that puts out one vector per token",
                )
        return outputs

    @property
    def has_loss(self) -> bool:
        """Whether it predicts the next token."""
        return isinstance(self.model, GenerationMixin) and self.model.get_output_embeddings() is not None

    def losses(
        self, contexts: Sequence[Sequence[int]], length: int, edits: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> Tensor:
        """Cross-entropy of the next token in nats, float32 [n, length - 1], nan where there is none.

        `edits` change the outputs [n, length, d] of the modules they name before the layers behind them read them.
        """
        ids, mask = self._padded(contexts, length)
        with torch.inference_mode(), replaced(self.model, edits):
            logits = self.model(input_ids=ids, attention_mask=mask).logits
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten(), reduction="none"
        ).view(len(ids), -1)
        return loss.masked_fill(mask[:, 1:] == 0, torch.nan)

    def shuffled(self, seed: int) -> "TextSubject":
        """The same model with the entries of every weight matrix permuted: its sizes and scales, nothing it learned.

        The control of Bricken et al. 2023 (Towards Monosemanticity); biases and norm scales stay.
        """
        model = copy.deepcopy(self.model)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                    parameter.copy_(parameter.flatten()[order].view_as(parameter))
        return TextSubject(model, self.tokenizer, f"{self.name} with shuffled weights", self.device)

    def _padded(self, contexts: Sequence[Sequence[int]], length: int) -> tuple[Tensor, Tensor]:
        """(ids, attention mask) int64 [n, length], padded on the right."""
        ids = torch.full((len(contexts), length), self.pad_id, dtype=torch.int64)
        mask = torch.zeros((len(contexts), length), dtype=torch.int64)
        for row, tokens in enumerate(contexts):
            ids[row, : len(tokens)] = torch.tensor(tokens)
            mask[row, : len(tokens)] = 1
        return ids.to(self.device), mask.to(self.device)


def convert_gguf(path: Path) -> Path:
    """Turn a GGUF file into a float32 transformers folder in the user's cache, once.

    Dequantising takes most of a minute; the converted copy loads in under a second.
    """
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    target = assets.cache() / "models" / f"{path.stem}-{digest}"
    if (target / "config.json").exists():
        return target
    log.info("converting %s once, into %s", path.name, target)
    source, name = str(path.parent), path.name
    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
    model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.float32)
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
