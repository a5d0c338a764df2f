"""What the name of a metric tells: what it asks, where it stands on the page, and on which axis."""

from autointerp.measure.scores import PERCENTILE

COMPARED = ("splitting.", "absorption.", "neurons.", "completeness.", "contrast.")


def compared(metric: str) -> bool:
    """Whether a number comes from holding dictionaries against each other: it stands in the section about that."""
    return metric.startswith(COMPARED)


def by_form(metric: str) -> bool:
    """Whether a number speaks of one language or style alone: it stands in a table of its own."""
    return metric.startswith("generalisation.") and metric.count(".") == 2


GENERALISATION = "generalisation."
# In sections of their own.
CAUSAL = ("attribution.", "activation.", "ablation.", "steering.", "causal.", "watch.")


def question_of(metric: str) -> str:
    question = metric.partition(".")[0]
    return "loss" if question in ("loss_recovered", "loss_rise") else question


def of_any_list(metric: str) -> str:
    """A metric of a list as what it is of any list; other metrics as they are."""
    question, _, rest = metric.partition(".")
    return f"watch.*.{rest.rpartition('.')[2]}" if question == "watch" else metric


def domain(metric: str) -> tuple[float, float]:
    """The axis of a metric: the whole range it can take, so that no difference is made to look large."""
    if metric.endswith(PERCENTILE):
        return 0.0, 1.0
    top = 3.0 if metric.startswith("specificity.") else 2.0 if metric.startswith("sensitivity.normalised") else 1.0
    top = 10.0 if metric.startswith("steering.best_dose") else top
    signed_metric = ".minus_" in metric or metric.startswith(("simulation.", "agreement.", "steering."))
    return (-top, top) if signed_metric else (0.0, top)
