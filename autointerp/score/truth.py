"""What a perfect reader would answer: one who takes an explanation for exactly the rule that it states.

On a planted subject the rule behind every explanation of kind `rule` is known, true or false. So each question that a
judge was asked has a right answer, whatever the feature does: it is put beside the judge's own, item by item.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from autointerp.config import EmbeddingScorer, LLMScorer, RuleExplainer
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.explain import rules
from autointerp.job import Job
from autointerp.judge import asking
from autointerp.judge.question import Said, Shown, excerpt
from autointerp.records import Verdict
from autointerp.score import llm
from autointerp.score.cases import Case, about, taken
from autointerp.subjects.rules import Rule

CLEAN, LOOSE, VAGUE, IRRELEVANT = 3.0, 2.0, 1.0, 0.0  # the rubric of specificity
LOUDEST = 10.0  # of a simulated activation


def verdicts(job: Job, cases: Sequence[Case], evidence: Mapping[str, DictionaryEvidence]) -> Iterator[Verdict]:
    """The right answers to all that judges were asked about explanations of known rules, under the judges' names."""
    stated = {
        name: rules.stated(job, role.states)
        for name, role in job.config.explainers.items()
        if isinstance(role, RuleExplainer)
    }
    own = [case for case in cases if case.explainer in stated and case.control == "none"]
    for name, role in job.config.scorers.items():
        for case in taken(job.config, name, own, evidence):
            rule = stated[case.explainer][case.dictionary, case.feature]
            if isinstance(role, LLMScorer):
                texts = {question: asking.rubric_of(role, question, job.config, job.sees) for question in role.scores}
                for asked in llm.questions(job, role, case, texts, evidence, {}, logprobs=False):
                    for shown in asked.group:
                        yield answered(case, asked.question, name, asked.rubric.name, shown, rule)
            elif isinstance(role, EmbeddingScorer):
                for item in evidence[case.dictionary].by_feature[case.feature].items["score"]:
                    yield answered(case, "detection", name, "", excerpt(item, item.fires), rule)


def answered(case: Case, question: str, scorer: str, rubric: str, shown: Shown, rule: Rule) -> Verdict:
    said = ANSWERS[question](shown, rule.marks(shown.item.excerpt.pieces))
    return case.verdict(
        question, scorer, rubric, **(about(shown.item) | {"fires": shown.fires}),
        value=said.value, predicted=said.predicted,
        activations=shown.item.excerpt.activations if said.predicted else (),
    )  # fmt: skip


def fits(shown: Shown, meant: Sequence[bool]) -> Said:
    """Somewhere in the excerpt stands what the rule means."""
    return Said(float(any(meant)))


def right(shown: Shown, meant: Sequence[bool]) -> Said:
    """Every marked token is one that the rule means."""
    return Said(float(all(marked_meant(shown, meant))))


def rating(shown: Shown, meant: Sequence[bool]) -> Said:
    """3 where the rule means all marked tokens, 2 where some, 1 where others of the excerpt, 0 where none."""
    marked = marked_meant(shown, meant)
    if all(marked):
        return Said(CLEAN)
    return Said(LOOSE if any(marked) else VAGUE if any(meant) else IRRELEVANT)


def loudness(shown: Shown, meant: Sequence[bool]) -> Said:
    """All of the scale on tokens that the rule means, nothing on others: it says nothing of more or less."""
    predicted = tuple(LOUDEST * one for one in meant)
    return Said(max(predicted), predicted=predicted)


def marked_meant(shown: Shown, meant: Sequence[bool]) -> list[bool]:
    """Of each marked token, whether the rule means it."""
    return [one for one, marked in zip(meant, shown.marks or (), strict=True) if marked]


ANSWERS: Mapping[str, Callable[[Shown, Sequence[bool]], Said]] = {
    "detection": fits,
    "fuzzing": right,
    "specificity": rating,
    "simulation": loudness,
}
