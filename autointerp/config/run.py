"""A whole run: its tables, and what has to hold between them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from pydantic import Field, model_validator

from autointerp import assets
from autointerp.config.limits import BudgetConfig, CircularityConfig, GateConfig, PriceConfig
from autointerp.config.record import Record
from autointerp.config.roles import (
    PARAPHRASED,
    EmbeddingScorer,
    Explainer,
    Generator,
    GivenExplainer,
    Judge,
    LLMExplainer,
    LLMScorer,
    Paraphraser,
    Role,
    RuleExplainer,
    Scorer,
    covered,
    detects,
)
from autointerp.config.stages import (
    AuditConfig,
    CalibrationConfig,
    CausalConfig,
    CollectConfig,
    CompareConfig,
    CorpusConfig,
    DictionaryConfig,
    EvidenceConfig,
    GeneralisationConfig,
    PositionsConfig,
    ScoreConfig,
    SubjectConfig,
    WatchConfig,
)


class RunConfig(Record):
    """One run. Explainers, scorers and generators are named tables; there is no default for any."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Folder of the run below runs/.")
    seed: int = Field(0, ge=0, description="Every draw of the run follows from it.")
    subject: SubjectConfig
    corpus: CorpusConfig
    dictionaries: dict[str, DictionaryConfig] = Field(min_length=1)
    explainers: dict[str, Explainer] = Field(min_length=1)
    scorers: dict[str, Scorer] = Field(min_length=1)
    generators: dict[str, Generator] = Field({}, description="Who writes texts to measure sensitivity on, by name.")
    positions: PositionsConfig = PositionsConfig()
    collect: CollectConfig = CollectConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    score: ScoreConfig = ScoreConfig()
    generalisation: GeneralisationConfig | None = Field(
        None, description="A concept list to measure generalisation on."
    )
    audit: AuditConfig | None = Field(None, description="A crossed design, to see how much of a verdict is kinship.")
    causal: CausalConfig | None = Field(None, description="What features do when they are turned off and up.")
    watch: WatchConfig | None = Field(None, description="When features fire that seem to stand for what is watched.")
    calibration: CalibrationConfig | None = Field(None, description="What `autointerp calibrate` makes of a config.")
    compare: CompareConfig | None = Field(None, description="What becomes of features as dictionaries grow.")
    circularity: CircularityConfig = CircularityConfig()
    budget: BudgetConfig = BudgetConfig()
    baseline: str | None = Field(
        None, description="A finished run to compare with, or `last`: the last good one of those kept by date."
    )
    gates: dict[str, GateConfig] = Field(
        {}, description="What must not happen, by metric; a gate that fails is exit 1."
    )
    rubrics: str | None = Field(None, description="A folder of your own rubrics, searched before the shipped ones.")
    prices: dict[str, PriceConfig] = Field(
        {}, description="Your own prices by model, as requested or with * and ?; they go before the shipped table."
    )

    @property
    def judges(self) -> "Mapping[str, Judge]":
        """Scorers and generators by name: every role that makes numbers of explanations."""
        return {**self.scorers, **self.generators}

    @property
    def roles(self) -> "Mapping[str, Role]":
        """Every role by its kind and name."""
        kinds: dict[str, Mapping[str, Role]] = {
            "explainer": self.explainers,
            "scorer": self.scorers,
            "generator": self.generators,
        }
        found = {f"{kind} {name}": role for kind, table in kinds.items() for name, role in table.items()}
        return {**found, "paraphraser": self.paraphraser} if self.paraphraser else found

    @property
    def paraphraser(self) -> Paraphraser | None:
        return self.audit.paraphraser if self.audit else None

    def explained(self, explainer: str, dictionary: str) -> int:
        """How many features of a dictionary an explainer explains: so many of those alive, first of the draw."""
        return max(self.crossed(explainer, dictionary), covered(self.explainers[explainer], dictionary))

    def judged(self, explainer: str, judge: str, dictionary: str, control: str = "none") -> int:
        """How many of these features a scorer or generator is asked about, with the explanations of an explainer.

        What the roles themselves leave out is asked where the audit crosses the two, of as many as it crosses.
        Paraphrases are judged for the audit alone, and in detection alone.
        """
        crossed = self.crossed(explainer, dictionary, judge)
        if control == PARAPHRASED:
            return min(crossed, self.paraphrased(explainer, dictionary)) if detects(self.judges[judge]) else 0
        return max(crossed, self.taken_in(explainer, judge, dictionary))

    def taken_in(self, explainer: str, judge: str, dictionary: str) -> int:
        """How many of these features the roles themselves cover, without an audit."""
        role = self.judges[judge]
        if role.explainers is not None and explainer not in role.explainers:
            return 0
        return min(covered(role, dictionary), covered(self.explainers[explainer], dictionary))

    def paraphrased(self, explainer: str, dictionary: str) -> int:
        """Of how many of these features the explanations are paraphrased."""
        if self.paraphraser is None:
            return 0
        return min(self.crossed(explainer, dictionary), covered(self.paraphraser, dictionary))

    def crossed(self, explainer: str, dictionary: str, judge: str | None = None) -> int:
        """How many of these features the audit crosses, of explanations by one and as judged by another.

        None of a dictionary that one of the two leaves out.
        """
        if self.audit is None or explainer not in self.audit.explainers or judge not in (None, *self.audit.scorers):
            return 0
        roles = [self.explainers[explainer], *([self.judges[judge]] if judge else [])]
        return self.audit.features if all(covered(role, dictionary) for role in roles) else 0

    @model_validator(mode="after")
    def consistent(self) -> "RunConfig":
        for check in CHECKS:
            check(self)
        return self


# ---- what has to hold between tables; each raises ValueError with a sentence


def gates_are_on_what_is_there(run: RunConfig) -> None:
    there: dict[str, Mapping[str, Any]] = {
        "dictionary": run.dictionaries,
        "explainer": run.explainers,
        "scorer": run.judges,
    }
    for metric, gate in run.gates.items():
        for field, those in there.items():
            if getattr(gate, field) not in (None, *those):
                raise ValueError(f"gates.{metric}.{field} = {getattr(gate, field)!r} is not one of {sorted(those)}")


def excerpts_fit_contexts(run: RunConfig) -> None:
    window, length = run.evidence.window, run.corpus.context_length
    if 0 < window < 4:
        raise ValueError(f"evidence.window = {window} is neither 0 nor at least 4")
    if window > length:
        raise ValueError(
            f"evidence.window = {window} is longer than corpus.context_length = {length}: lower the window"
        )
    if run.corpus.min_tokens > length:
        raise ValueError(
            f"corpus.min_tokens = {run.corpus.min_tokens} is longer than corpus.context_length = {length}: no context "
            "could be that long"
        )


def something_is_evaluated(run: RunConfig) -> None:
    are_known("evidence.picked names", sorted(run.evidence.picked), run.dictionaries)
    if not run.evidence.features and not any(run.evidence.picked.values()):
        raise ValueError(
            "evidence.features = 0 and evidence.picked names no feature: nothing would be evaluated, set either"
        )


def controls_are_held_against_dictionaries(run: RunConfig) -> None:
    for name, entry in run.dictionaries.items():
        other = run.dictionaries.get(entry.like or name)
        if other is None or (entry.like and other.control):
            raise ValueError(f"dictionaries.{name}.like = {entry.like!r} is not a dictionary with a path of this run")
        if name in ("pool", "positions") or name.endswith((".pool", ".features")):
            raise ValueError(f"dictionaries.{name!r} would take the name of a file of the run: choose another")


def roles_name_what_is_there(run: RunConfig) -> None:
    both = sorted(set(run.scorers) & set(run.generators))
    if both:
        raise ValueError(f"{both[0]!r} names a scorer and a generator: tables would not tell them apart, rename one")
    tables: tuple[tuple[str, Mapping[str, Role]], ...] = (
        ("explainers", run.explainers),
        ("scorers", run.scorers),
        ("generators", run.generators),
    )
    for kind, roles in tables:
        for name, role in roles.items():
            for field, those in (("dictionaries", run.dictionaries), ("explainers", run.explainers)):
                are_known(f"{kind}.{name}.{field} names", getattr(role, field, None) or (), those)


def the_audit_crosses_each_role_once(run: RunConfig) -> None:
    for field, those in (("explainers", run.explainers), ("scorers", run.scorers)):
        crossed: tuple[str, ...] = getattr(run.audit, field, ())
        for at, name in enumerate(crossed):
            are_known(f"audit.{field} names", (name,), those)
            if name in crossed[:at]:
                raise ValueError(f"audit.{field} names {name!r} twice")


def stages_name_dictionaries(run: RunConfig) -> None:
    if run.causal:
        asked = (*(run.causal.dictionaries or ()), *run.causal.writes)
        are_known("causal names the dictionary", asked, run.dictionaries)
    if run.watch:
        are_known("watch names the dictionary", run.watch.dictionaries or (), run.dictionaries)
    if run.paraphraser:
        are_known("audit.paraphraser.dictionaries names", run.paraphraser.dictionaries or (), run.dictionaries)


def explainers_can_write(run: RunConfig) -> None:
    # A loss on excerpts takes as long as all of scoring, so surprisal chooses nothing; nor do plugins.
    choosers = sorted(name for name, judge in run.scorers.items() if isinstance(judge, EmbeddingScorer | LLMScorer))
    for name, writer in run.explainers.items():
        if isinstance(writer, LLMExplainer) and writer.chosen_by not in (None, *choosers):
            raise ValueError(f"explainers.{name}.chosen_by = {writer.chosen_by!r} is none of the scorers {choosers}")
        if isinstance(writer, RuleExplainer) and not run.subject.model.startswith(assets.PLANTED):
            raise ValueError(
                f"explainers.{name} states rules, and nobody knows those of {run.subject.model!r}: only the features "
                "of a planted subject are rules"
            )
        if isinstance(writer, GivenExplainer):
            are_known(f"explainers.{name}.sources names", sorted(writer.sources.values()), run.dictionaries)


def names_can_be_files(run: RunConfig) -> None:
    for kind in ("dictionaries", "explainers", "scorers", "generators"):
        for name in getattr(run, kind):
            if not name or set(name) & set('/\\,"\n') or name.startswith("."):
                raise ValueError(f"{kind}.{name!r} is not a usable name: letters, digits, '.', '_' and '-' are")


def are_known(said: str, names: Iterable[str], those: Collection[str]) -> None:
    """Refuse the first name that is not among those."""
    for name in names:
        if name not in those:
            raise ValueError(f"{said} {name!r}, which is not one of {sorted(those)}")


CHECKS: tuple[Callable[[RunConfig], None], ...] = (
    gates_are_on_what_is_there,
    excerpts_fit_contexts,
    something_is_evaluated,
    controls_are_held_against_dictionaries,
    roles_name_what_is_there,
    the_audit_crosses_each_role_once,
    stages_name_dictionaries,
    explainers_can_write,
    names_can_be_files,
)
