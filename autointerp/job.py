"""One run being worked on: its config, its directory, and the heavy parts, each loaded when first asked for."""

from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from autointerp.config import LLMRole, RunConfig
from autointerp.corpus.text import stable_hash
from autointerp.dictionaries import Dictionary, load_dictionary
from autointerp.errors import UserError
from autointerp.llm import ledger
from autointerp.llm.budget import Budget, Journal, price_of
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.providers import open_provider
from autointerp.store import RunDirectory
from autointerp.subjects.text import TextSubject, choose_device


class Job:
    def __init__(self, config: RunConfig, directory: RunDirectory) -> None:
        self.config = config
        self.directory = directory
        self.clients: dict[str, Client] = {}
        self._journal = Journal(directory / "spending.log")
        self.budget = Budget(config.budget, self._journal)

    @cached_property
    def subject(self) -> TextSubject:
        return TextSubject.load(self.config.subject)

    @cached_property
    def dictionaries(self) -> dict[str, Dictionary]:
        """On the subject's device, where the hook outputs are."""
        device = choose_device(self.config.subject.device)
        return {name: load_dictionary(entry.path).to(device) for name, entry in self.config.dictionaries.items()}

    @cached_property
    def hooks(self) -> dict[str, str]:
        """The module path that each dictionary reads."""
        hooks = {}
        for name, entry in self.config.dictionaries.items():
            hook = entry.hook or self.dictionaries[name].hook
            if not hook:
                raise UserError(
                    f"you asked for the dictionary {name!r}",
                    "neither the config nor the dictionary names a hook",
                    f"set dictionaries.{name}.hook",
                )
            hooks[name] = self.subject.resolve(hook)
        return hooks

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(ledger.home())

    def client(self, role_name: str, role: LLMRole) -> Client:
        """The client of a role, one for the whole run, so that its usage adds up."""
        if role_name not in self.clients:
            self.clients[role_name] = Client(
                open_provider(role),
                self.ledger,
                concurrency=role.concurrency,
                requests_per_minute=role.requests_per_minute,
                tokens_per_minute=role.tokens_per_minute,
                budget=self.budget,
                price=price_of(role, self.config),
                batch=role.batch,
                batch_wait=role.batch_wait,
            )
        return self.clients[role_name]

    def usage(self, prefix: str) -> list[dict[str, Any]]:
        """What the roles whose name begins with `prefix` have cost so far."""
        return [asdict(client.usage(role)) for role, client in self.clients.items() if role.startswith(prefix)]

    def rng(self, *purpose: object) -> np.random.Generator:
        """A generator that depends on the run's seed and on what it is for, and on nothing else."""
        return np.random.default_rng(stable_hash(self.config.seed, *purpose))

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        self._journal.close()
