"""Does the feature fire where its explanation says? A model writes texts for the explanation; the subject is measured.

After Tian et al. 2025. A text stands alone, as no text of the corpus does, so the feature's own excerpts, encoded again
in that form, are the ceiling; texts that come near the explanation and should not fire are the floor.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from autointerp import rubric
from autointerp.config import Generator
from autointerp.dictionaries import Dictionary
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import progress
from autointerp.prompt import line, neutral
from autointerp.records import Verdict
from autointerp.rubric import Rubric
from autointerp.score.cases import Case
from autointerp.subjects.positions import PositionRule

TEXTS_AT_ONCE = 64
STEP = 32
TEXT, NEAR_MISS, ORIGINAL = "text", "near_miss", "original"
HALF = re.compile("[\ud800-\udfff]")  # of a character, which JSON may hold and no tokenizer reads
Written = dict[str, list[str]]  # texts by stratum


def verdicts(
    job: Job, name: str, role: Generator, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]
) -> list[Verdict]:
    """A verdict for each text written for a case. Its value is activation / maximum."""
    client, asked = job.client(f"generator {name}", role), rubric.load(role.rubric, job.config.rubrics, "generate")
    explanations = sorted({case.text for case in cases})
    requests = [request(text, role, asked) for text in explanations]
    with progress(f"writing texts with {name}", len(requests)) as advance:
        replies = ask(client, requests, role, lambda: advance(1))
    written = {text: read(reply, role) for text, reply in zip(explanations, replies, strict=True)}
    wanted = [
        (case, stratum, text) for case in cases for stratum, group in written[case.text][0].items() for text in group
    ]
    loudness = measured(job, [(case.dictionary, case.feature, text) for case, _, text in wanted])
    numbers: dict[tuple[Case, str], int] = {}
    found = []
    for (case, stratum, _), activation in zip(wanted, loudness, strict=True):
        number = numbers[case, stratum] = numbers.get((case, stratum), -1) + 1
        maximum = evidence[case.dictionary].by_feature[case.feature].max_activation
        found.append(
            case.verdict(
                "sensitivity",
                name,
                asked.name,
                item=f"{stratum} {number}",
                stratum=stratum,
                fires=activation > 0,
                value=activation / maximum,
                activation=activation,
            )
        )
    for case in cases:
        reason = written[case.text][1]
        if reason:
            found.append(case.verdict("sensitivity", name, asked.name, stratum=TEXT, reason=reason))
    return found


def originals(job: Job, evidence: Mapping[str, DictionaryEvidence], cases: Sequence[Case]) -> Iterator[Verdict]:
    """The firing excerpts of the score split of the cases' features, each encoded as a text of its own."""
    keys = sorted({(case.dictionary, case.feature) for case in cases})
    wanted = [
        (dictionary, feature, item)
        for dictionary, feature in keys
        for item in evidence[dictionary].by_feature[feature].items["score"]
        if item.fires
    ]
    loudness = measured(job, [(dictionary, feature, item.excerpt.text) for dictionary, feature, item in wanted])
    for (dictionary, feature, item), activation in zip(wanted, loudness, strict=True):
        maximum = evidence[dictionary].by_feature[feature].max_activation
        yield Case(dictionary, feature, "", "none", "").verdict(
            "sensitivity", "", item=item.excerpt.id, stratum=ORIGINAL, fires=activation > 0, weight=item.weight,
            value=activation / maximum, activation=activation,
        )  # fmt: skip


def request(explanation: str, role: Generator, asked: Rubric) -> Request:
    numbers = {"texts": role.texts, "near_misses": role.near_misses}
    properties = asked.schema["properties"]
    bounded = {name: {**properties[name], "minItems": n, "maxItems": n} for name, n in numbers.items()}
    schema = {**asked.schema, "properties": {**properties, **bounded}}
    content = line(description=neutral(explanation), **numbers)
    return Request(asked.text, content, schema, role.max_tokens)


def ask(client: Client, requests: Sequence[Request], role: Generator, done: Callable[[], None]) -> list[Reply]:
    """Replies in order; where one is no use it is asked for once more."""
    replies = client.complete_all(requests, done)
    useless = [at for at, reply in enumerate(replies) if read(reply, role)[1]]
    again = client.complete_all([replace(requests[at], sample=1) for at in useless])
    for at, reply in zip(useless, again, strict=True):
        replies[at] = reply
    return replies


def read(reply: Reply, role: Generator) -> tuple[Written, str]:
    """(texts, reason): without any usable text there is a reason. More than were asked for are left out."""
    if reply.failure:
        return {}, reply.failure
    answer = {TEXT: reply.answer["texts"][: role.texts], NEAR_MISS: reply.answer["near_misses"][: role.near_misses]}
    whole = {stratum: [HALF.sub("\ufffd", text) for text in texts] for stratum, texts in answer.items()}
    found = {stratum: [text for text in dict.fromkeys(texts) if text.strip()] for stratum, texts in whole.items()}
    return found, "" if found[TEXT] else "the generator wrote no text"


def measured(job: Job, wanted: Sequence[tuple[str, int, str]]) -> list[float]:
    """The largest activation of a feature at the counted positions of a text, for each (dictionary, feature, text).

    A text is one context: the subject's own special tokens around it, cut at the length of a context. It is padded to
    the next multiple of STEP tokens: by its own length, so that no other text can move its activations.
    """
    found: dict[tuple[str, int, str], float] = {}
    most, subject = job.config.corpus.context_length, job.subject
    rule = PositionRule(job.config.positions, subject, job.directory.facts("collect")["norm_limits"])
    tokens = {text: subject.alone(text, most) for text in sorted({text for _, _, text in wanted})}
    padded = {text: min(most, -(-len(ids) // STEP) * STEP) for text, ids in tokens.items()}
    asked: dict[tuple[str, str], list[int]] = {}
    for dictionary, feature, text in wanted:
        asked.setdefault((dictionary, text), []).append(feature)
    names = sorted({dictionary for dictionary, _, _ in wanted})
    with progress("measuring the subject on texts", len(tokens)) as advance:
        for length, batch in batches(padded):
            contexts = [tokens[text] for text in batch]
            hidden = job.hidden(contexts, {job.sites[name] for name in names}, length=length)
            for name in names:
                site = job.sites[name]
                mask = rule.mask(contexts, hidden[site], str(site))
                features = sorted({f for text in batch for f in asked.get((name, text), ())})
                largest = largest_of(job.dictionaries[name], hidden[site], mask, features)
                place = {feature: at for at, feature in enumerate(features)}
                for row, text in enumerate(batch):
                    for feature in asked.get((name, text), ()):
                        found[name, feature, text] = float(largest[row, place[feature]])
            advance(len(batch))
    return [found[key] for key in wanted]


def batches(padded: Mapping[str, int]) -> Iterator[tuple[int, list[str]]]:
    """(length, texts): up to TEXTS_AT_ONCE texts that are padded to the same length."""
    for length in sorted(set(padded.values())):
        alike = [text for text, own in padded.items() if own == length]
        for start in range(0, len(alike), TEXTS_AT_ONCE):
            yield length, alike[start : start + TEXTS_AT_ONCE]


def largest_of(dictionary: Dictionary, hidden: Tensor, mask: Tensor, features: Sequence[int]) -> Tensor:
    """The largest activation a_i, 0 where silent, of hook outputs [n, length, d] by text and feature: [n, features]."""
    column = torch.full((dictionary.width,), -1, dtype=torch.int64, device=hidden.device)
    column[list(features)] = torch.arange(len(features), device=hidden.device)
    owner = mask.nonzero()[:, 0]
    at, feature, value = dictionary.encode_sparse(hidden[mask].float())
    activation = value * dictionary.feature_norms[feature]
    keep = (column[feature] >= 0) & (activation > 0) & activation.isfinite()
    places = owner[at[keep]] * len(features) + column[feature[keep]]
    largest = torch.zeros(len(hidden) * len(features), dtype=torch.float32, device=hidden.device)
    largest.scatter_reduce_(0, places, activation[keep].float(), "amax")
    return largest.view(len(hidden), len(features))
