"""Evidence written down by hand: one token a word, the feature fires where a number says so."""

from autointerp.records import Excerpt, Item


def item(words: str, *activations: float, weight: float = 1.0, context: int = 0, start: int = 8) -> Item:
    """An excerpt of words, each with the space before it; without activations it is silent."""
    pieces = tuple(f" {word}" for word in words.split())
    fires = any(activation > 0 for activation in activations)
    excerpt = Excerpt(context, start, context, pieces, activations or (0.0,) * len(pieces))
    return Item(excerpt, "bin0" if fires else "random", fires, weight)
