"""What a metric is called on the page."""

QUESTIONS = {
    "lexical_floor": "floor",
    "generalisation": "",
    "causal": "",
    "probe_logistic": "logistic probe",
    "sensitivity": "",
}
NUMBERS = {
    "ap": "average precision",
    "ap_corpus": "average precision at the corpus rate",
    "f1": "F1",
    "f1_corpus": "F1 at the corpus rate",
    "auroc": "AUROC",
    "balanced_accuracy": "balanced accuracy",
    "pearson": "correlation",
    "pearson_corpus": "correlation at the corpus rate",
    "retrieval": "retrieval",
    "retrieval_base": "base rate of firing",
    "retrieval_strong": "retrieval, ≥ 10% of maximum",
    "generated": "texts written for it",
    "generated_strong": "texts written for it, ≥ 10% of maximum",
    "near_miss": "near misses",
    "near_miss_strong": "near misses, ≥ 10% of maximum",
    "original": "its own excerpts, alone",
    "original_strong": "its own excerpts, alone, ≥ 10% of maximum",
    "normalised": "written over own",
    "normalised_strong": "written over own, ≥ 10% of maximum",
    "mean": "even over intervals",
    "density_weighted": "a typical firing",
    "mass_weighted": "a typical unit of activation",
    "silent": "on silent excerpts",
}
NUMBERS |= {
    "carries_over": "share that carries over",
    "auroc_home": "AUROC in the form it was found in",
    "auroc_text": "AUROC in other languages",
    "auroc_image": "AUROC in pictures",
    "fire_rate": "fires on its concept",
    "rank": "rank among all features",
}
NUMBERS |= {
    "spearman_ablation": "rank correlation with ablation",
    "overlap10": "share of the ten that mattered",
    "loudness_rank": "rank by loudness of the ten that mattered",
    "error_share": "share through the error term",
    "concept_rate": "writes its words, over unsteered",
    "concept_rate_in_range": "the same within its range",
    "off_distribution": "best dose beyond its range",
    "off_target": "change of other features' words",
    "effect": "change of the loss",
    "above_random": "share of controls exceeded",
}
SUFFIXES = {
    "single_token": "single-token features",
    "many_tokens": "other features",
    "percentile": "share of the seeded sample that is beaten",
}
LABELS = {
    "loss_rise": "loss rise, nats a token",
    "sensitivity.retrieval": "retrieval sensitivity",
    "splitting.children": "children of one of the next smaller",
    "splitting.split": "of these, with two and more",
    "splitting.lost": "of these, with none",
    "splitting.novel": "features without a parent",
    "splitting.threshold": "cosine of a parent, above",
    "splitting.overlapping": "children that fire with their parent",
    "splitting.same_parent": "same parent by firing",
    "absorption.absorbed": "another child in its place",
    "absorption.silent": "counterpart silent",
    "absorption.beside": "a child beside it",
    "neurons.alone": "like no neuron",
    "neurons.correlation": "largest correlation",
    "completeness.search": "concepts found, of all features",
    "completeness.loudest": "concepts found, of the five loudest",
    "completeness.search_threshold": "precision needed, of all features",
    "completeness.loudest_threshold": "precision needed, of the five loudest",
    "completeness.missed_by_loudest": "missed by the five loudest",
}


def label(metric: str) -> str:
    """A metric in words, for the head of a column; its name in the CSV files stands below."""
    metric, _, control = metric.partition(".minus_")
    if metric.startswith("agreement."):
        return f"agreement on {label(metric.removeprefix('agreement.'))}"
    question, _, number = metric.partition(".")
    number, _, suffix = number.partition(".")
    words = [QUESTIONS.get(question, question.replace("_", " ")), NUMBERS.get(number, number.replace("_", " "))]
    said = LABELS.get(f"{question}.{number}".strip("."), ", ".join(word for word in words if word))
    if suffix:
        said += f", {SUFFIXES.get(suffix, suffix)}"
    return f"{said} over {control.replace('_', ' ')}" if control else said
