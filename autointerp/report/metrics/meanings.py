"""What every metric means."""

from autointerp.measure import answers
from autointerp.measure.scores import PERCENTILE

DEFINITIONS = {
    "dead_share": "Share of the features that never fired on the positions kept: a censored statement, see its bounds.",
    "dead_bound_documents": "3 / documents: the 95% bound on the share of documents in whose read part such a feature "
    "fires.",
    "dead_bound_tokens": "3 / positions: the same bound if positions were independent, which bursts are not.",
    "l0": "Mean number of features that fire at a position.",
    "explained_variance": "1 − squared reconstruction error / variance about the mean, over the positions kept. "
    "Can be negative.",
    "loss_recovered": "(ablated − substituted) / (ablated − clean), where each is the subject's next-token loss at the "
    "positions kept of {contexts}: clean as it is, substituted with the reconstruction in place of the hook's output, "
    "ablated with zeros in its place. 1 loses nothing, 0 is as bad as zeros. Zeros do such harm that many a poor "
    "dictionary comes near 1, so read it beside loss_rise; where they do little harm, it means nothing.",
    "loss_rise": "(substituted − clean) / positions, in nats a token, over the same {contexts}: how much worse the "
    "subject predicts with the reconstruction in place of the hook's output. 0 loses nothing.",
    "detection.ap": "Average precision of the judge's verdicts about held-out excerpts, weighted to {prevalence} "
    "positives: a judge that knows nothing reaches {chance}; a perfect one reaches 1.",
    "detection.ap_corpus": "The same verdicts weighted to the rate at which the feature fires in the corpus.",
    "detection.auroc": "Chance that a firing excerpt is ranked above a silent one: 0.5 knows nothing. "
    "Blind to how rare firing is.",
    "detection.f1": "F1 of the judge's yes or no, weighted to {prevalence} positives. A judge that says yes to all "
    "reaches the control always_all.",
    "detection.f1_corpus": "The same, weighted to the rate at which the feature fires in the corpus.",
    "detection.balanced_accuracy": "Mean of the shares of firing and of silent excerpts that were judged rightly: 0.5 "
    "knows nothing. Blind to how rare firing is.",
    "fuzzing.ap": "Average precision of verdicts about marks in firing excerpts: right where they stand on the firing "
    "tokens, wrong where as many runs of the same lengths stand on silent ones. Weighted to {prevalence} right ones.",
    "fuzzing.f1": "F1 of the same verdicts, weighted to {prevalence} right ones.",
    "fuzzing.auroc": "Chance that right marks are ranked above wrong ones: 0.5 knows nothing.",
    "fuzzing.balanced_accuracy": "Mean of the shares of right and of wrong marks that were judged rightly.",
    "simulation.pearson": "Correlation of predicted with true activations over the tokens of all excerpts in one "
    "sequence, firing excerpts weighing {prevalence}. A constant prediction counts as 0.",
    "simulation.pearson_corpus": "The same, firing excerpts weighing what they do in the corpus.",
    "specificity.mean": "Mean rating, 0 to 3, of how well the explanation fits where the feature fires, all activation "
    "intervals weighing alike: how clean is the feature over its range?",
    "specificity.density_weighted": "The same ratings weighted to how often the feature fires in each interval: how "
    "clean is a typical firing?",
    "specificity.mass_weighted": "The same ratings weighted by activation, too: how clean is a typical unit of it?",
    "specificity.silent": "Mean rating of silent excerpts with marks put on them, mixed in unannounced: what the judge "
    "gives anyway.",
    "surprisal.ap": "Average precision of the fall of a language model's loss on an excerpt once it has read the "
    "explanation instead of a sentence that says nothing, weighted to {prevalence} positives.",
    "surprisal.ap_corpus": "The same, weighted to the rate at which the feature fires in the corpus.",
    "surprisal.auroc": "Chance that the loss falls more on a firing excerpt than on a silent one.",
    "sensitivity.retrieval": "Of the {retrieved} held-out excerpts most like the explanation, one per document, the "
    "share on which the feature fires. To be read beside the base rate.",
    "sensitivity.retrieval_strong": "The share of them on which it fires with at least a tenth of its maximum.",
    "sensitivity.retrieval_base": "Share of the excerpts in the retrieval pool on which the feature fires anyway.",
    "sensitivity.generated": "Share of the texts that a model wrote for the explanation on which the feature fires.",
    "sensitivity.generated_strong": "The share of them on which it fires with at least a tenth of its maximum.",
    "sensitivity.near_miss": "Share of the texts written to come near the explanation, and not to fit it, on which the "
    "feature fires all the same.",
    "sensitivity.near_miss_strong": "The share of them on which it fires with at least a tenth of its maximum.",
    "sensitivity.original": "Share of the feature's own firing excerpts on which it fires when each stands alone, as "
    "the written texts do.",
    "sensitivity.original_strong": "The share of them on which it fires with at least a tenth of its maximum.",
    "sensitivity.normalised": "The rate on written texts as a multiple of that on its own excerpts.",
    "sensitivity.normalised_strong": "The same, with at least a tenth of its maximum.",
    "splitting.children": "How many features of this dictionary descend, on average, from one of the next smaller: "
    "those whose nearest there, by cosine of feature vectors, it is, with a cosine above splitting.threshold. Random: "
    "random directions, crowded as the feature vectors are, in the place of this dictionary.",
    "splitting.split": "Share of the features of the next smaller dictionary with two such children or more.",
    "splitting.lost": "Share of the features of the next smaller dictionary without a child.",
    "splitting.novel": "Share of the features of this dictionary without a parent in the next smaller: new by "
    "direction, which says nothing of whether they add to the reconstruction.",
    "splitting.threshold": "The cosine that 1% of random directions, crowded as the feature vectors are, reach with "
    "any feature of the next smaller dictionary.",
    "splitting.overlapping": "Share of the children that also fire with their parent: a restricted cosine of "
    "activations above 0.4 (Bricken et al. 2023). Random: children beside a feature that is not their parent.",
    "splitting.same_parent": "Of the features that fire with any candidate, the share whose parent by cosine is the "
    "one they fire with most.",
    "absorption.absorbed": "Of the positions where a feature of the next smaller dictionary with two children or more "
    "fires, the share where its counterpart here is silent and another child fires, averaged over features. Random: "
    "features that fire as often in the place of the children. It needs no labels, and is not Chanin et al.'s number.",
    "absorption.silent": "The share where the counterpart is silent at all: the most that absorbed could be.",
    "absorption.beside": "Of the positions where feature and counterpart both fire, the share where a child does.",
    "neurons.alone": "Share of features whose activation correlates with no neuron by more than 0.3 (Templeton et al. "
    "2024). Shifted: the same with activations moved past their own documents, since the largest of many correlations "
    "is above 0 by chance.",
    "neurons.correlation": "Mean of the largest correlation of each feature with any neuron, without its sign.",
    "completeness.search": "Share of the concepts that have a feature of their own: of the five features of all that "
    "tell a concept best from the others of its category, one with an AUROC of 0.95 on other sentences and of which "
    "little else makes as loud (precision above completeness.search_threshold). Pseudo: words that mean nothing, "
    "without those that set the threshold.",
    "completeness.loudest": "The same where the candidates are the five loudest features on the concept.",
    "completeness.search_threshold": "The precision that at most 5% of the pseudo-concepts which set it exceed, at "
    "least 0.5: the share of carrier sentences and corpus excerpts as loud as half the mean on the word that hold it.",
    "completeness.loudest_threshold": "The same for the five loudest.",
    "completeness.missed_by_loudest": "Of the concepts that the search finds, the share that the five loudest miss.",
    "generalisation.carries_over": "Share of features whose concept carries over: outside the form in which it was "
    "found, the feature tells its concept from matched distractors better than the best of all features of its "
    "dictionary does by chance (p ≤ 0.05 against permuted concepts, Westfall and Young 1993).",
    "generalisation.auroc": "Chance that a member of the feature's concept is louder than a matched distractor (same "
    "language or style, same group, another concept), averaged over all forms but the one it was found in: 0.5 knows "
    "nothing. Permuted: what the best of all features reaches by chance.",
    "generalisation.auroc_home": "The same in the form in which the concept was found, on documents that did not find "
    "it.",
    "generalisation.auroc_text": "The same over languages alone.",
    "generalisation.auroc_image": "The same over pictures alone.",
    "generalisation.fire_rate": "Share of the concept's members in other forms on which the feature fires; "
    "distractors: the share of matched distractors.",
    "generalisation.rank": "Rank of the feature among all of its dictionary by mean activation over its concept's "
    "members in other forms; 1 is the loudest.",
    "generalisation.invariance": "1 − variance of the activation between languages / its variance over the concept's "
    "members: 1 where the language makes no difference.",
    "generalisation.variance_between": "Variance of the activation between languages, in units of the feature's "
    "maximum.",
    "generalisation.variance_within": "The same within languages.",
    "probe_logistic.ap": "Average precision of a logistic regression on the activations, fitted on the explain "
    "documents, at {prevalence} positives.",
    "probe_logistic.ap_corpus": "The same regression, weighted to the rate at which the feature fires in the corpus.",
    "probe_logistic.auroc": "The same regression: the chance that a firing excerpt is ranked above a silent one.",
    "lexical_floor.ap": "Average precision of a token lookup (its mean activation on the explain documents), at "
    "{prevalence} positives: what words alone predict, without an explanation.",
    "lexical_floor.ap_corpus": "The same lookup, weighted to the rate at which the feature fires in the corpus.",
    "lexical_floor.auroc": "The same lookup: the chance that a firing excerpt is ranked above a silent one.",
    "probe.ap": "Average precision of a probe fitted on the explain documents, at {prevalence} positives: what the "
    "activations allow.",
    "probe.ap_corpus": "The same probe, weighted to the rate at which the feature fires in the corpus.",
    "probe.auroc": "The same probe: the chance that a firing excerpt is ranked above a silent one.",
    "ablation.error_share": "|error| / (|error| + |features|): of what moves the answer to first order, the part that "
    "runs through what the dictionary leaves out. 0: all of it is in features.",
    "steering.concept_rate": "Share of the words that the subject writes with the feature clamped that are words of "
    "its lexical explanation, less that of unsteered texts from the same openings with the same luck; at the dose that "
    "was best on half of the openings, on the others. random-feature and density-matched: as hard a push along a "
    "random direction, or along that of a feature that fires about as often, each at its own best dose.",
    "steering.concept_rate_in_range": "The same at the best dose between 0 and 1 times the feature's own maximum.",
    "steering.best_dose": "That dose, in multiples of the feature's own maximum.",
    "steering.off_distribution": "1 where that dose is beyond what the feature ever reaches in the corpus.",
    "steering.off_target": "Mean absolute change of the share of the words of the other steered features.",
    "steering.loss_rise": "The subject's own loss, unsteered, on the text, less that on unsteered texts; nats a token.",
    "ablation.effect": "Mean absolute change of the loss, in nats a token, on the contexts where the feature is "
    "loudest, when it is ablated there. The controls take as much away along another direction at the same positions.",
    "causal.above_random": "Mean share of the controls that the feature exceeds in steering and in ablation: 0.5 is as "
    "if by lot.",
    "watch.*.tpr": "True-positive rate: the share of a list's texts of concern in which the feature fires that tells "
    "them best from their benign twins. Feature and threshold are chosen on half of the pairs, and this is the other "
    "half. permuted: the same search where a coin says which text of a pair is of concern; its bounds are the middle "
    "95% of such searches. words: the same search among words in the place of features.",
    "watch.*.fpr_twins": "The share of the benign twins of these texts in which it fires as well.",
    "watch.*.fpr": "The share of the benign texts of all lists in which it fires. The threshold allows for a fixed "
    "share on the half that chooses it; on the other half it comes out as it does.",
    "watch.*.corpus_rate": "The share of documents of the score split in whose excerpts it fires.",
}
BY_ABLATION = {  # what mattered in a prompt, by ablation, beside what was thought to
    "attribution.spearman_ablation": "Rank correlation, over the active features of a prompt, of attribution "
    "(activation times the gradient of the answer along the feature) with what the answer loses when the feature is "
    "ablated at that position. The answer is the logit of the right word less that of wrong ones. Mean over prompts, "
    "with a bootstrap over prompts. random-feature: the same features in a random order.",
    "activation.spearman_ablation": "The same for how loud the feature is.",
    "attribution.overlap10": "Of the ten features at positions that mattered most by ablation, the share that is among "
    "the ten most attributed. Where not all were ablated, those drawn stand for the others, and it leans upwards. "
    "random-feature: what ten random ones reach.",
    "activation.overlap10": "The same for the ten loudest.",
    "ablation.loudness_rank": "Median rank by loudness, 1 the loudest, of the ten that mattered most, averaged over "
    "prompts.",
}
BY_ABLATION |= {
    f"{name}{answers.SIZE}": f"{name} with effects counted by size, for or against the answer." for name in BY_ABLATION
}
BY_ABLATION |= {
    f"{name}{suffix}": name + meaning
    for name in BY_ABLATION
    for suffix, meaning in (
        (answers.LEFT_OUT, ": the lowest and the highest mean when one prompt is left out, in the place of bounds."),
        (answers.FISHER, ": the mean of Fisher's z over prompts, as a correlation."),
        (answers.CHANCE, ": how often random features have at least as many hits, over all prompts."),
    )
}
DEFINITIONS |= BY_ABLATION
OF_PLUGINS = {  # the numbers of a question that a user's scorer answers
    "ap": "Average precision of what the scorer says of held-out excerpts, weighted to {prevalence} positives.",
    "ap_corpus": "The same verdicts weighted to the rate at which the feature fires in the corpus.",
    "auroc": "Chance that the scorer ranks a firing excerpt above a silent one: 0.5 knows nothing.",
}
CONTROLS = {
    "shuffled": "its shuffled control",
    "hard_shuffled": "its hard-shuffled control",
    "generic": "its generic control",
}
KINDS = {
    "single_token": "features that fire on one token (less than a bit of entropy)",
    "many_tokens": "features that fire on many tokens",
}
CONTRASTS = {
    "rank_biserial": "Chance that a feature of this dictionary has a higher {base} than one of the other, less the "
    "chance of the reverse: 1 where all have, 0 where neither tends to (Kerby 2014).",
    "detectable": "The smallest difference in {base}, in standard deviations of the features, that a test at 5% sees "
    "in four of five such runs.",
    "paired": "The difference in {base} over features that are matched and were evaluated on both sides: a parent with "
    "the nearest of its children, or the same feature where both dictionaries have the same vectors.",
}


def contrasted(metric: str) -> str:
    """What a comparison of one score between two dictionaries means; its control names the other one."""
    base = ".".join(metric.split(".")[1:3])
    said = CONTRASTS.get(metric.removeprefix(f"contrast.{base}."), "")
    return said.format(base=base) or f"Mean {base} of this dictionary less that of the one named as control, unpaired."


def derived(metric: str) -> str:
    """What a number that is made of others means, by how its name is made."""
    if metric.startswith("contrast."):
        return contrasted(metric)
    if metric.startswith("completeness."):
        return f"{metric.rpartition('.')[0]} of the concepts of one category."
    base, separator, other = metric.partition(".minus_")
    if separator:
        against = CONTROLS.get(other, f"the {other.replace('_', ' ')}")
        return f"{base} minus {against}, feature by feature, then averaged."
    base, _, kind = metric.rpartition(".")
    if kind in KINDS:
        return f"{base} of {KINDS[kind]} alone."
    if metric.endswith(PERCENTILE):
        return (
            f"Share of the features drawn by seed, of the same dictionary and arm, that a feature exceeds in {base}, "
            "ties counting half, itself left out. As a mean over the hand-picked features: 0.5 where they are as if "
            "picked by lot, 1 where each is above the whole sample."
        )
    if metric.startswith("agreement."):
        return (
            f"Rank correlation over features between two explainers' {metric.removeprefix('agreement.')}: 1 where they "
            "rank the features alike, 0 where they do not agree at all."
        )
    return "No definition is recorded for this metric."
