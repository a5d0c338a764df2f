"""Every number of a run is defined, and what its page claims of its limits is true of it."""

import dataclasses

from autointerp.report.data import Report
from autointerp.report.sections import methods
from tests.report.builders import GAIN, NAN, beside, build, changed, with_control


def test_every_metric_of_the_run_is_defined() -> None:
    found = dict(methods.definitions(build()))
    assert "No definition" not in " ".join(found.values())
    assert "20% positives" in found["detection.ap"]
    assert found[GAIN] == "detection.ap minus its shuffled control, feature by feature, then averaged."


def test_losses_are_defined_with_their_contexts() -> None:
    found = dict(methods.definitions(build()))
    assert found["loss_recovered"].startswith("(ablated − substituted) / (ablated − clean)")
    assert "of 32 contexts" in found["loss_recovered"]
    assert "Zeros do such harm" in found["loss_recovered"]
    assert "in nats a token, over the same 32 contexts" in found["loss_rise"]
    intervals = "The intervals of loss recovered and loss rise are over 32 contexts."
    assert intervals in [item.plain for item in methods.limits(build())]
    without = build()
    for metric in ("loss_recovered", "loss_rise"):
        without = changed(without, metric, NAN, NAN)
    assert intervals not in [item.plain for item in methods.limits(without)]
    assert "of 0 contexts" in dict(methods.definitions(without))["loss_recovered"]


def test_limits_say_what_controls_are() -> None:
    def told(report: Report) -> str:
        return " ".join(item.plain for item in methods.limits(report))

    assert "Controls are dictionaries that learned nothing" not in told(build())
    one, many = beside(0.4), with_control(build(), "pca", "demo-512")
    assert "Controls are dictionaries that learned nothing" in told(one)
    assert "A difference between a dictionary and its control treats" in told(one)
    assert "A difference between two sizes or between a dictionary and its control treats" in told(many)


def test_limits_follow_the_run() -> None:
    many = " ".join(item.plain for item in methods.limits(build()))
    assert "2,000 resamples" in many
    assert "(3 / documents)" in many
    one = " ".join(item.plain for item in methods.limits(build((1024,))))
    assert "two sizes" in many
    assert "two sizes" not in one


def test_chance_of_a_judge_that_knows_nothing() -> None:
    told = "a judge that knows nothing reaches about 0.27 with this many excerpts (a constant one 0.2);"
    report = build()
    assert told in dict(methods.definitions(report))["detection.ap"]
    assert "Permuted:" in " ".join(item.plain for item in methods.limits(report))
    plain = dataclasses.replace(report, dictionaries=report.dictionaries[report.dictionaries["control"] != "permuted"])
    assert "a judge that knows nothing reaches 0.2;" in dict(methods.definitions(plain))["detection.ap"]
    assert "Permuted:" not in " ".join(item.plain for item in methods.limits(plain))


def test_limits_claim_no_split_for_given_explanations() -> None:
    report = build()
    text = " ".join(item.plain for item in methods.limits(report))
    assert "Explanations of this run saw only the explain documents." in text
    assert "Judged excerpts come from the score documents" in text
    assert "The token lookup and the probe are fitted on the explain documents." in text
    assert "every score" not in text
    roles = report.roles.copy()
    roles.loc[roles["role"] == "explainer self", "provider"] = "given"
    some = " ".join(item.plain for item in methods.limits(dataclasses.replace(report, roles=roles)))
    assert "The explanations of self were given: what their author saw is unknown." in some
    assert "The explanations of lexical saw only the explain documents." in some
    assert "of this run saw" not in some
    roles.loc[roles["role"] == "explainer lexical", ["provider", "requested"]] = ["", "human"]
    every = " ".join(item.plain for item in methods.limits(dataclasses.replace(report, roles=roles)))
    assert "The explanations of lexical and self were given" in every
    assert "saw only" not in every
    assert "explanations" not in " ".join(item.plain for item in methods.limits(build(arms=()))).lower()
