"""Does a language model predict an excerpt better once it has read the explanation? (Paulo et al. 2024)

The verdict is the fall of its loss, in nats a token, against the same excerpt after a sentence that says nothing. The
model runs here, since no hosted one says how likely it finds a text that it did not write.
"""

from collections.abc import Iterator, Mapping, Sequence

from autointerp import assets
from autointerp.config import RunConfig, SubjectConfig, SurprisalScorer
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.job import Job
from autointerp.progress import progress
from autointerp.records import Model, Verdict
from autointerp.score.cases import Case, about
from autointerp.score.scorer import Work
from autointerp.store import digest
from autointerp.subjects.load import load
from autointerp.subjects.subject import Subject

Settings = SurprisalScorer
UNREAD = "a picture, which has no text to predict"
NOTHING = "Various unrelated sentences."
Pair = tuple[str, str]  # description, text


def models(role: SurprisalScorer, config: RunConfig) -> list[Model]:
    return [Model("transformers", role.model)]


def made_of(role: SurprisalScorer, job: Job) -> list[str]:
    location = assets.locate(role.model)
    return [digest(location) if location else ""]


def verdicts(role: SurprisalScorer, work: Work) -> Iterator[Verdict]:
    for part in work.apart():
        yield from judged(work.name, role, part.cases, work.evidence)


def judged(
    name: str, role: SurprisalScorer, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]
) -> Iterator[Verdict]:
    reader = load(SubjectConfig(model=role.model))
    if not reader.has_loss:
        raise UserError(
            f"you asked for surprisal by {role.model!r}", "it does not predict a next token", "name a causal model"
        )
    items = {case: evidence[case.dictionary].by_feature[case.feature].items["score"] for case in cases}
    texts = {item.excerpt.text for found in items.values() for item in found} - {""}
    wanted = {
        (sentence, item.excerpt.text)
        for case in cases
        for item in items[case]
        for sentence in (case.text, NOTHING)
        if item.excerpt.text in texts
    }
    loss = losses(reader, sorted(wanted), role.batch_size)
    for case in cases:
        for item in items[case]:
            text = item.excerpt.text
            if text in texts:
                value = loss[NOTHING, text] - loss[case.text, text]
                yield case.verdict("surprisal", name, **about(item), value=value)
            else:
                yield case.verdict("surprisal", name, **about(item), reason=UNREAD)


def losses(reader: Subject, pairs: Sequence[Pair], batch_size: int) -> dict[Pair, float]:
    """Mean cross-entropy in nats over the tokens of each text behind its description."""
    encoded = []
    for description, text in pairs:
        before = [*reader.prefix, *reader.encode(f"{description}\n\n")[0]]
        encoded.append((before, reader.encode(text)[0]))
    order = sorted(range(len(pairs)), key=lambda at: len(encoded[at][0]) + len(encoded[at][1]))
    found: dict[Pair, float] = {}
    with progress("reading with and without explanations", len(pairs)) as advance:
        for start in range(0, len(order), batch_size):
            batch = [encoded[at] for at in order[start : start + batch_size]]
            contexts = [[*before, *text] for before, text in batch]
            loss = reader.losses(contexts, max(map(len, contexts)), {})
            for at, (before, own), row in zip(order[start : start + batch_size], batch, loss, strict=True):
                # Column t of the losses is about token t + 1.
                about_text = row[len(before) - 1 : len(before) + len(own) - 1]
                found[pairs[at]] = float(about_text.double().nanmean())
            advance(len(batch))
    return found
