"""Who took part in a run: the lineage of every role, and so the grade of every number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autointerp.audit.circularity import grade, worse
from autointerp.config import Generator, GivenExplainer, Grade, LexicalExplainer, LLMRole, RunConfig
from autointerp.llm.lineage import Lineage, lineage
from autointerp.records import Explanation, Score


@dataclass(frozen=True, slots=True)
class RoleRow:
    """One row of roles.csv. A role that no model fills has no lineage: code and people are not models."""

    role: str
    requested: str
    resolved: str
    provider: str
    lineage: Lineage | None


class Roles:
    """Lineages as requested and, once known, as resolved. Before anything has run, a plan is graded as requested."""

    def __init__(
        self, config: RunConfig, explanations: Sequence[Explanation] = (), resolved: dict[str, list[str]] | None = None
    ) -> None:
        self.config = config
        self.subject = lineage(config.subject.model)
        self.explainers: dict[str, list[tuple[str, str, str]]] = {}
        for name, role in config.explainers.items():
            authors = {e.author for e in explanations if e.explainer == name and e.author is not None}
            found = sorted((a.provider, a.requested, a.resolved) for a in authors)
            if isinstance(role, LLMRole):
                found = found or [(role.provider, role.model, "")]
            elif isinstance(role, GivenExplainer) and role.author != "human":
                found = found or [("given", role.author or "unknown", "")]
            self.explainers[name] = found
        self.scorers: dict[str, list[tuple[str, str, str]]] = {}
        for name, judge in config.judges.items():
            provider = judge.provider if isinstance(judge, LLMRole) else "transformers"
            models = (resolved or {}).get(name) or [""]
            self.scorers[name] = [(provider, judge.model, model) for model in models]

    def arm(self, explainer: str, scorer: str) -> Grade:
        """The grade of what `scorer` says of explanations by `explainer`: the worst where a role had several models."""
        worst: Grade = "A"
        nobody: list[tuple[str, str, str] | None] = [None]
        writers = [*self.explainers.get(explainer, [])] or nobody
        judges = [*self.scorers.get(scorer, [])] or nobody
        for writer in writers:
            for judge in judges:
                kind = "generator" if scorer in self.config.generators else "scorer"
                models = [("explainer", writer), (kind, judge)]
                roles = [(role, lineage(model[1], model[2])) for role, model in models if model is not None]
                worst = worse(worst, grade(self.subject, roles))
        return worst

    def grade(self, score: Score) -> Grade:
        return self.arm(score.explainer, score.scorer)

    def arms(self) -> Iterable[tuple[str, str, Grade]]:
        """Every (explainer, scorer) pair of the run with its grade."""
        for explainer in self.config.explainers:
            for scorer, judge in self.config.judges.items():
                if judge.explainers is None or explainer in judge.explainers:
                    yield explainer, scorer, self.arm(explainer, scorer)

    def rows(self) -> list[RoleRow]:
        subject = self.config.subject.model
        rows = [RoleRow("subject", subject, self.subject.model, "transformers", self.subject)]
        for name, role in self.config.explainers.items():
            for provider, requested, resolved in self.explainers[name]:
                model = lineage(requested, resolved)
                rows.append(RoleRow(f"explainer {name}", requested, resolved or model.model, provider, model))
            if not self.explainers[name]:
                kind = "lexical code" if isinstance(role, LexicalExplainer) else "human"
                rows.append(RoleRow(f"explainer {name}", kind, kind, "", None))
        for name, judge in self.config.judges.items():
            kind = "generator" if isinstance(judge, Generator) else "scorer"
            for provider, requested, resolved in self.scorers[name]:
                model = lineage(requested, resolved)
                rows.append(RoleRow(f"{kind} {name}", requested, resolved or model.model, provider, model))
        return rows
