"""A language model as a scorer: which questions about which items of a case it is asked, and its verdicts."""

from collections.abc import Mapping, Sequence

from autointerp.config import PARAPHRASED, LLMScorer, QuestionName, RunConfig
from autointerp.evidence.reader import DictionaryEvidence, read_pictures
from autointerp.job import Job
from autointerp.judge.asking import QUESTIONS, Asked, choose, judge, request, rubric_of
from autointerp.progress import progress
from autointerp.records import Model, Verdict
from autointerp.rubric import Rubric
from autointerp.score.cases import Case, about
from autointerp.score.scorer import Work

Settings = LLMScorer


def models(role: LLMScorer, config: RunConfig) -> list[Model]:
    return [Model(role.provider, role.model)]


def rubrics(role: LLMScorer, config: RunConfig, sees: bool) -> dict[QuestionName, Rubric]:
    return {question: rubric_of(role, question, config, sees) for question in role.scores}


def verdicts(role: LLMScorer, work: Work) -> list[Verdict]:
    """All questions go to the client at once, so that a batch holds them all."""
    job, evidence = work.job, work.evidence
    client = work.client(role)
    texts = rubrics(role, job.config, job.sees)
    pictures = pictures_of(job, work.cases, evidence)
    asked = [
        (case, one)
        for case in work.cases
        for one in questions(job, role, case, texts, evidence, pictures, client.gives_logprobs)
    ]
    with progress(f"judging with {work.name}", len(asked)) as advance:
        found = judge(client, [one for _, one in asked], lambda: advance(1))
    return [
        case.verdict(
            one.question, work.name, one.rubric.name, **(about(shown.item) | {"fires": shown.fires}),
            value=said.value, reason=said.reason, predicted=said.predicted,
            activations=shown.item.excerpt.activations if said.predicted else (),
        )
        for (case, one), group in zip(asked, found, strict=True)
        for shown, said in zip(one.group, group, strict=True)
    ]  # fmt: skip


def pictures_of(job: Job, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]) -> Mapping[int, bytes]:
    """The pictures among the items of some cases, by context."""
    if not job.sees:
        return {}
    keys = {(case.dictionary, case.feature) for case in cases}
    items = (item for name, feature in keys for item in evidence[name].by_feature[feature].items["score"])
    return read_pictures(job.directory.path, {item.excerpt.context for item in items if item.excerpt.grid})


def questions(
    job: Job,
    role: LLMScorer,
    case: Case,
    texts: Mapping[QuestionName, Rubric],
    evidence: Mapping[str, DictionaryEvidence],
    pictures: Mapping[int, bytes],
    logprobs: bool,
) -> list[Asked]:
    """What is asked about a case. Items and their order are the same for an explanation and its controls.

    They are the same for all judges, too, of whom each takes the first `items`: what they say differs in nothing but
    the judge. Of paraphrases detection alone is asked.
    """
    found = []
    for question, text in texts.items():
        if case.control == PARAPHRASED and question != "detection":
            continue
        asks = QUESTIONS[question]
        rng = job.rng("judged", question, case.dictionary, case.feature)
        shown = asks.show(evidence[case.dictionary].by_feature[case.feature].items["score"], rng)
        chosen = choose(shown, role.items, rng)
        for start in range(0, len(chosen), role.items_per_request):
            group = chosen[start : start + role.items_per_request]
            asked = request(asks, case.text, group, text, role.max_tokens, logprobs, pictures)
            found.append(Asked(question, text, group, asked))
    return found
