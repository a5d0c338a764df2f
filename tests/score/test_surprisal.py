"""Surprisal by a tiny model, against one text at a time and against the definition."""

from types import SimpleNamespace
from typing import cast

import pytest
import torch
from transformers import BertConfig, BertModel

from autointerp.config import SurprisalScorer
from autointerp.errors import UserError
from autointerp.evidence.reader import DictionaryEvidence
from autointerp.records import Evidence
from autointerp.score import surprisal
from autointerp.score.cases import Case
from autointerp.score.surprisal import NOTHING, Pair
from autointerp.subjects.text import TextSubject
from tests.score.items import item

PAIRS: list[Pair] = [
    ("boats at sea", "the ships stayed"),
    ("boats at sea", "old coins"),
    ("", "the cat sat on the mat while rain fell all night over the harbour"),
    ("a long story about ice and parrots, told under a broken lamp", "ice"),
    ("caf\u00e9 \u2014 na\u00efve", "\u00fcber"),
]


def slowly(reader: TextSubject, description: str, text: str) -> float:
    """The mean of -log p(token | everything before it), one token at a time, without padding."""
    before = [*reader.prefix, *reader.encode(f"{description}\n\n")[0]]
    own = reader.encode(text)[0]
    losses = []
    for at, token in enumerate(own):
        with torch.inference_mode():
            logits = reader.model(input_ids=torch.tensor([[*before, *own[:at]]])).logits[0, -1]
        losses.append(-float(logits.double().log_softmax(0)[token]))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_a_loss_is_that_of_the_text_alone_behind_its_description_whatever_the_batch(
    tiny_subject: TextSubject, batch_size: int
) -> None:
    found = surprisal.losses(tiny_subject, PAIRS, batch_size)
    assert found == {pair: pytest.approx(slowly(tiny_subject, *pair), rel=1e-5) for pair in PAIRS}


def test_the_description_changes_the_loss_of_one_text(tiny_subject: TextSubject) -> None:
    found = surprisal.losses(tiny_subject, [("boats", "ice"), ("lamps", "ice")], 2)
    assert found["boats", "ice"] != found["lamps", "ice"]


def cases(*texts: str) -> list[Case]:
    return [Case("d", 0, "ann", "none" if at == 0 else "shuffled", text) for at, text in enumerate(texts)]


def evidence() -> dict[str, DictionaryEvidence]:
    items = (item("the ships stayed", 0, 3, 0, context=1), item("old coins", context=2))
    known = Evidence("d", 0, 10.0, {"explain": (), "score": items}, "")
    return {"d": cast(DictionaryEvidence, SimpleNamespace(by_feature={0: known}))}


def test_a_verdict_is_the_fall_of_the_loss(tiny_subject_path: object, tiny_subject: TextSubject) -> None:
    role = SurprisalScorer(kind="surprisal", model=str(tiny_subject_path))
    found = list(surprisal.judged("reader", role, cases("boats at sea", "coins"), evidence()))
    wanted = [(case, text) for case in ("boats at sea", "coins") for text in (" the ships stayed", " old coins")]
    assert [verdict.value for verdict in found] == pytest.approx(
        [slowly(tiny_subject, NOTHING, text) - slowly(tiny_subject, case, text) for case, text in wanted], abs=1e-5
    )
    assert [(v.fires, v.control, v.activation, v.rubric) for v in found] == [
        (True, "none", 3.0, ""),
        (False, "none", 0.0, ""),
        (True, "shuffled", 3.0, ""),
        (False, "shuffled", 0.0, ""),
    ]


def test_planted_losses_give_their_difference_and_each_pair_is_read_once(
    monkeypatch: pytest.MonkeyPatch, tiny_subject_path: object
) -> None:
    # With nothing said the ships cost 5 nats and the coins 4; boats bring the ships to 2 and the coins to 4.5.
    planted = {
        (NOTHING, " the ships stayed"): 5.0,
        (NOTHING, " old coins"): 4.0,
        ("boats", " the ships stayed"): 2.0,
        ("boats", " old coins"): 4.5,
    }
    asked: list[Pair] = []

    def losses(reader: TextSubject, pairs: list[Pair], batch_size: int) -> dict[Pair, float]:
        asked.extend(pairs)
        return planted

    monkeypatch.setattr(surprisal, "losses", losses)
    role = SurprisalScorer(kind="surprisal", model=str(tiny_subject_path))
    found = surprisal.judged("reader", role, cases("boats", "boats"), evidence())
    assert [verdict.value for verdict in found] == [3.0, -0.5, 3.0, -0.5]
    assert sorted(asked) == sorted(planted)


def test_a_model_that_predicts_no_next_token_is_refused(
    monkeypatch: pytest.MonkeyPatch, tiny_subject: TextSubject
) -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=400)
    encoder = TextSubject(BertModel(config), tiny_subject.tokenizer, "bert")
    monkeypatch.setattr(surprisal, "load", lambda _: encoder)
    with pytest.raises(UserError, match="name a causal model"):
        list(surprisal.judged("reader", SurprisalScorer(kind="surprisal", model="bert"), [], {}))
