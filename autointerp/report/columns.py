"""The columns of the CSV files that are made here: a contract with whoever reads them."""

SCORES = [
    "dictionary", "feature", "metric", "control", "explainer", "scorer", "rubric", "value", "low", "high", "n",
    "unscored", "unscored_reason", "circularity",
]  # fmt: skip
FEATURES = [  # and one for each metric
    "dictionary", "feature", "dead", "n_fired", "density", "max_activation", "selected_by", "explainer", "explanation",
    "scorer", "circularity",
]  # fmt: skip
CIRCULARITY = ["effect", "value", "low", "high", "n", "power", "identified", "note"]
COSTS = ["role", "provider", "model", "requests", "cached", "input_tokens", "output_tokens", "price_usd", "seconds"]
ROLES = ["role", "requested", "resolved", "provider", "developer", "family", "generation", "known"]
