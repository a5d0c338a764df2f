"""Finding the provider that a role names. Plugins and the built-in ones come through the same door."""

from collections.abc import Iterable

from autointerp import plugins
from autointerp.config import LLMRole, Role
from autointerp.errors import UserError
from autointerp.llm.protocol import BatchProvider, Provider


def known() -> list[str]:
    """The names of all providers."""
    return plugins.names(plugins.PROVIDER)


def open_provider(role: LLMRole) -> Provider:
    """The provider for a role. Raises UserError where there is none of that name or it cannot be used."""
    provider: Provider = plugins.find(plugins.PROVIDER, role.provider).made(role)
    return provider


def added(roles: Iterable[Role]) -> dict[str, str]:
    """The packages of the providers of some roles, as inputs of a stage."""
    return plugins.added(plugins.PROVIDER, (role.provider for role in roles if isinstance(role, LLMRole)))


def batching(provider: Provider) -> BatchProvider:
    """The provider, if it takes batches; else UserError."""
    if isinstance(provider, BatchProvider):
        return provider
    raise UserError(
        f"you asked {provider.name} for {provider.model} in batches",
        "this provider takes none",
        "leave batch out of the role, or name another provider",
    )
