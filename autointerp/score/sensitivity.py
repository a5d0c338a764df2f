"""Does the feature fire where its explanation says? A model writes texts for the explanation; the subject is measured.

After Tian et al. 2025. A text stands alone, as no text of the corpus does, so the feature's own excerpts, encoded again
in that form, are the ceiling; texts that come near the explanation and should not fire are the floor.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from autointerp import rubric
from autointerp.config import Generator
from autointerp.evidence.loudest import in_texts
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.llm.client import Client
from autointerp.llm.protocol import Reply, Request
from autointerp.progress import progress
from autointerp.prompt import line, neutral
from autointerp.records import Verdict
from autointerp.rubric import Rubric
from autointerp.score.cases import Case

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
    """The largest activation of a feature at the counted positions of a text, for each (dictionary, feature, text)."""
    texts = sorted({text for _, _, text in wanted})
    place = {text: at for at, text in enumerate(texts)}
    loudest = in_texts(job, texts, sorted({dictionary for dictionary, _, _ in wanted}))
    by_text = {name: activations.tocsr() for name, activations in loudest.items()}
    return [float(by_text[dictionary][place[text], feature]) for dictionary, feature, text in wanted]
