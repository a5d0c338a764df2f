"""Who took part in a run: the lineage of every role, and so the grade of every number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from autointerp import assets, plugins
from autointerp.audit.circularity import grade, worse
from autointerp.config import (
    PARAPHRASED,
    ExplainerRole,
    Generator,
    Grade,
    LLMExplainer,
    LLMRole,
    Role,
    RunConfig,
    ScorerRole,
)
from autointerp.llm.lineage import Lineage, lineage
from autointerp.records import Author, Explanation, Model, Score

NO_MODEL = {"given": "human", "rule": "known rule"}  # what fills a role of these kinds, if no model; of others, code


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
        self,
        config: RunConfig,
        explanations: Sequence[Explanation] = (),
        resolved: dict[str, list[str]] | None = None,
        paraphrases: Sequence[Explanation] = (),
    ) -> None:
        self.config = config
        # Planted features are nobody's: what is calibrated is graded as in the run that it is calibrated for.
        self.subject = lineage(config.calibration.subject if config.calibration else config.subject.model)
        self.explainers: dict[str, list[Model]] = {}
        self.choosers: dict[str, list[Model]] = {}  # by explainer
        for name, role in config.explainers.items():
            own = [e for e in explanations if e.explainer == name]
            self.explainers[name] = models(e.author for e in own)
            self.choosers[name] = models(e.chooser for e in own)
            if not self.explainers[name] and not any(e.text for e in own):
                self.explainers[name] = asked_for(role, config)
            if isinstance(role, LLMExplainer) and role.chosen_by is not None and not own:
                self.choosers[name] = asked_for(config.scorers[role.chosen_by], config)
        self.scorers: dict[str, list[Model]] = {}
        for name, judge in config.judges.items():
            asked, answered = asked_for(judge, config), (resolved or {}).get(name) or [""]
            self.scorers[name] = [model._replace(resolved=said) for model in asked[:1] for said in answered] + asked[1:]
        self.paraphraser = models(one.author for one in paraphrases)
        if config.paraphraser is not None and not self.paraphraser:
            self.paraphraser = asked_for(config.paraphraser, config)

    def arm(self, explainer: str, scorer: str, control: str = "none") -> Grade:
        """The grade of what `scorer` says of explanations by `explainer`: the worst where a role had several models.

        Of paraphrases, who wrote these is in the number, too.
        """
        parts = {
            "explainer": self.explainers.get(explainer),
            "chooser": self.choosers.get(explainer),
            "paraphraser": self.paraphraser if control == PARAPHRASED else None,
            "generator" if scorer in self.config.generators else "scorer": self.scorers.get(scorer),
        }
        filled = [[(role, lineage(model[1], model[2])) for model in found] for role, found in parts.items() if found]
        worst: Grade = "A"
        for roles in product(*filled):
            worst = worse(worst, grade(self.subject, roles))
        return worst

    def grade(self, score: Score) -> Grade:
        return self.arm(score.explainer, score.scorer, score.control)

    def arms(self, control: str = "none") -> Iterable[tuple[str, str, Grade]]:
        """Every (explainer, scorer) pair of the run with its grade, those that the audit crosses among them."""
        for explainer in self.config.explainers:
            for scorer in self.config.judges:
                if any(self.config.judged(explainer, scorer, name, control) for name in self.config.dictionaries):
                    yield explainer, scorer, self.arm(explainer, scorer, control)

    def rows(self) -> list[RoleRow]:
        subject = self.config.subject.model
        runs_it = "autointerp" if subject.startswith(assets.PLANTED) else "transformers"
        rows = [RoleRow("subject", subject, self.subject.model, runs_it, self.subject)]
        for name, role in self.config.explainers.items():
            for provider, requested, resolved in self.explainers[name]:
                model = lineage(requested, resolved)
                rows.append(RoleRow(f"explainer {name}", requested, resolved or model.model, provider, model))
            if not self.explainers[name]:
                kind = NO_MODEL.get(role.kind, f"{role.kind} code")
                rows.append(RoleRow(f"explainer {name}", kind, kind, "", None))
            for provider, requested, resolved in self.choosers[name]:
                model = lineage(requested, resolved)
                rows.append(RoleRow(f"chooser {name}", requested, resolved or model.model, provider, model))
        for name, judge in self.config.judges.items():
            kind = "generator" if isinstance(judge, Generator) else "scorer"
            for provider, requested, resolved in self.scorers[name]:
                model = lineage(requested, resolved)
                rows.append(RoleRow(f"{kind} {name}", requested, resolved or model.model, provider, model))
            if not self.scorers[name]:
                rows.append(RoleRow(f"{kind} {name}", f"{judge.kind} code", f"{judge.kind} code", "", None))
        for provider, requested, resolved in self.paraphraser:
            model = lineage(requested, resolved)
            rows.append(RoleRow("paraphraser", requested, resolved or model.model, provider, model))
        return rows


def models(authors: Iterable[Author | None]) -> list[Model]:
    """Each model once; code and people are none."""
    return sorted(
        {Model(author.provider, author.requested, author.resolved) for author in authors if author is not None}
    )


def asked_for(role: Role, config: RunConfig) -> list[Model]:
    """The models that a role names before anything has run."""
    if isinstance(role, ExplainerRole | ScorerRole):
        group = plugins.EXPLAINER if isinstance(role, ExplainerRole) else plugins.SCORER
        return list(plugins.find(group, role.kind).made.models(role, config))
    return [Model(role.provider, role.model)] if isinstance(role, LLMRole) else []
