"""Finding the provider that a role names. Plugins and the built-in ones come through the same door."""

import difflib
from importlib.metadata import entry_points

from autointerp.config import LLMRole
from autointerp.errors import UserError
from autointerp.llm.protocol import BatchProvider, Provider

GROUP = "autointerp.providers"  # each entry point is a function LLMRole -> Provider


def known() -> list[str]:
    """The names of all providers."""
    return sorted(entry_points(group=GROUP).names)


def open_provider(role: LLMRole) -> Provider:
    """The provider for a role. Raises UserError where there is none of that name or it cannot be used."""
    found = entry_points(group=GROUP)
    if role.provider not in found.names:
        nearest = difflib.get_close_matches(role.provider, found.names, 1, 0.0)
        raise UserError(
            f"you asked for the provider {role.provider!r}",
            f"there is none; known are {', '.join(known()) or 'none at all'}",
            f"write {nearest[0]!r} or install the plugin" if nearest else "install autointerp or the provider's plugin",
        )
    try:
        opener = found[role.provider].load()
    except ImportError as error:
        raise UserError(
            f"you asked for the provider {role.provider!r}", f"it cannot be imported ({error})", "install what it needs"
        ) from None
    provider: Provider = opener(role)
    return provider


def batching(provider: Provider) -> BatchProvider:
    """The provider, if it takes batches; else UserError."""
    if isinstance(provider, BatchProvider):
        return provider
    raise UserError(
        f"you asked {provider.name} for {provider.model} in batches",
        "this provider takes none",
        "leave batch out of the role, or name another provider",
    )
