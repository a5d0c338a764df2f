"""How often single words occur in a corpus, in one pass over its documents."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from autointerp.corpus.sources import Document

WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Frequencies:
    """Of n words: occurrences [n] and documents [n] that hold any. Of the corpus: its documents, words and tokens.

    `n_tokens` is None where nobody counted them.
    """

    occurrences: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]
    n_documents: int
    n_words: int
    n_tokens: int | None


def count(
    documents: Iterable[Document], words: Sequence[str], tokens: Callable[[str], int] | None = None
) -> Frequencies:
    r"""Occurrences of each word as a whole word, `(?<!\w)word(?!\w)`, in the texts of a stream of documents.

    A word with a capital counts as it is written, since the capital is what tells the country Turkey from the bird. One
    without counts in any case, since a sentence or a title may begin with it. Counting between spaces, as is also
    done, would miss a word before a comma. Word forms are other words (`cats`), and so are accents coded otherwise.

    A text is cut into runs of word characters once, and each run looked up, so the time does not grow with the number
    of words. A document is a run of rows with one name. `tokens` tells the length of a text for the subject.
    """
    assert all(WORD.fullmatch(word) for word in words), "each is a single word"
    exact = Counter({word: 0 for word in words if word.lower() != word})
    folded = Counter({word: 0 for word in words if word.lower() == word})
    holding = Counter(dict.fromkeys(words, 0))
    n_documents = n_words = n_tokens = 0
    for _, rows in groupby(documents, attrgetter("name")):
        held = set()
        for row in rows:
            runs = Counter(WORD.findall(row.text))
            n_words += runs.total()
            n_tokens += tokens(row.text) if tokens else 0
            for run, times in runs.items():
                for table, word in ((exact, run), (folded, run.lower())):
                    if word in table:
                        table[word] += times
                        held.add(word)
        n_documents += 1
        holding.update(held)
    occurrences = [exact[word] + folded[word] for word in words]
    return Frequencies(
        np.array(occurrences, np.int64),
        np.array([holding[word] for word in words], np.int64),
        n_documents,
        n_words,
        n_tokens if tokens else None,
    )


def holding(texts: Sequence[str], words: Sequence[str]) -> list[tuple[int, int]]:
    """(text, word), as numbers, of every text that holds a word, by the rule of `count`."""
    exact = {word: at for at, word in enumerate(words) if word.lower() != word}
    folded = {word: at for at, word in enumerate(words) if word.lower() == word}
    found = []
    for number, text in enumerate(texts):
        runs = set(WORD.findall(text))
        held = (runs & exact.keys(), exact), ({run.lower() for run in runs} & folded.keys(), folded)
        found += [(number, at) for at in sorted(table[word] for words, table in held for word in words)]
    return found
