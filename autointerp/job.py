"""One run being worked on: its config, its directory, and the heavy parts, each loaded when first asked for."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from autointerp.config import LLMRole, RunConfig
from autointerp.dictionaries import Dictionary, controls, load_dictionary
from autointerp.errors import UserError
from autointerp.finished import Run
from autointerp.llm import ledger
from autointerp.llm.budget import Budget, Journal, price_of
from autointerp.llm.client import Client
from autointerp.llm.ledger import Ledger
from autointerp.llm.providers import open_provider
from autointerp.store import RunDirectory, stable_hash
from autointerp.subjects.load import load
from autointerp.subjects.subject import Modality, Subject, choose_device


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """Where a dictionary reads: a module of the subject, or of the subject with shuffled weights."""

    hook: str
    shuffled: bool = False

    def __str__(self) -> str:
        return f"{self.hook} of shuffled weights" if self.shuffled else self.hook


class Job:
    def __init__(self, config: RunConfig, directory: RunDirectory, baseline: Run | None = None) -> None:
        self.config = config
        self.directory = directory
        self.baseline = baseline
        self.clients: dict[str, Client] = {}
        self._journal = Journal(directory / "spending.log")
        self.budget = Budget(config.budget, self._journal)

    @cached_property
    def subject(self) -> Subject:
        return load(self.config.subject)

    @cached_property
    def shuffled_subject(self) -> Subject:
        return self.subject.shuffled(stable_hash(self.config.seed, "shuffled subject"))

    @cached_property
    def originals(self) -> dict[str, Dictionary]:
        """The dictionaries that have files, on the subject's device, where the hook outputs are."""
        device = choose_device(self.config.subject.device)
        entries = self.config.dictionaries.items()
        return {name: load_dictionary(entry.path).to(device) for name, entry in entries if entry.path is not None}

    @cached_property
    def dictionaries(self) -> dict[str, Dictionary]:
        """All dictionaries, controls among them. Fitted controls are there once collection has begun."""
        found = {}
        for name, entry in self.config.dictionaries.items():
            if entry.like is None:
                found[name] = self.originals[name]
            elif entry.control == "permuted":
                found[name] = controls.permuted(self.originals[entry.like], stable_hash(self.config.seed, name))
            elif entry.control == "shuffled_subject":
                found[name] = controls.on_shuffled_subject(self.originals[entry.like])
            else:
                found[name] = controls.load(self.directory / "collect" / "controls" / f"{name}.safetensors")
                found[name] = found[name].to(self.originals[entry.like].W_enc.device)
        return found

    @cached_property
    def sites(self) -> dict[str, Site]:
        """Where each dictionary reads."""
        sites = {}
        for name, entry in self.config.dictionaries.items():
            original = entry.like or name
            hook = self.config.dictionaries[original].hook or self.originals[original].hook
            if not hook:
                raise UserError(
                    f"you asked for the dictionary {original!r}",
                    "neither the config nor the dictionary names a hook",
                    f"set dictionaries.{original}.hook",
                )
            sites[name] = Site(self.subject.resolve(hook), entry.control == "shuffled_subject")
        return sites

    @cached_property
    def hooks(self) -> tuple[str, ...]:
        """The modules that the dictionaries read."""
        return tuple(sorted({site.hook for site in self.sites.values()}))

    @cached_property
    def reads(self) -> frozenset[Modality]:
        """What documents have to be made of for every dictionary to read them."""
        return self.subject.reads(self.hooks)

    @cached_property
    def length(self) -> int:
        """Positions that every context is padded to."""
        return self.subject.length(self.hooks, self.config.corpus.context_length)

    @property
    def sees(self) -> bool:
        """Whether there are pictures among the contexts that were collected."""
        return bool(self.directory.facts("collect")["counts"].get("pictures"))

    def hidden(
        self,
        contexts: Sequence[Sequence[int]],
        sites: Iterable[Site],
        images: Sequence[bytes] = (),
        length: int | None = None,
    ) -> dict[Site, Tensor]:
        """Hook outputs [n, length, d] at each site, by one forward pass of each subject that is needed."""
        wanted = set(sites)
        found: dict[Site, Tensor] = {}
        for shuffled in {site.shuffled for site in wanted}:
            subject = self.shuffled_subject if shuffled else self.subject
            hooks = sorted(site.hook for site in wanted if site.shuffled == shuffled)
            outputs = subject.hidden(contexts, length or self.length, hooks, images)
            found |= {Site(hook, shuffled): output for hook, output in outputs.items()}
        return found

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

    def usage(self, *kinds: str) -> list[dict[str, Any]]:
        """What the roles of these kinds (the first word of their name) have cost so far."""
        return [asdict(client.usage(role)) for role, client in self.clients.items() if role.split()[0] in kinds]

    def rng(self, *purpose: object) -> np.random.Generator:
        """A generator that depends on the run's seed and on what it is for, and on nothing else."""
        return np.random.default_rng(stable_hash(self.config.seed, *purpose))

    def finish(self) -> None:
        """A stage is done and recorded: what got no answer may be asked for anew."""
        for client in self.clients.values():
            client.finish()

    def close(self) -> None:
        """Let go of providers, and have what was spent where the run lives, however the start has ended."""
        try:
            for client in self.clients.values():
                client.close()
        finally:
            self._journal.close()
            self.directory.publish()
