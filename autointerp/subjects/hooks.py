"""Read the output of named modules, and stop the forward pass as soon as the last of them has spoken."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from autointerp.errors import UserError


class _Stop(Exception):
    """Unwinds the forward pass; everything behind the deepest hook would be computed for nothing."""


def resolve(model: nn.Module, name: str) -> str:
    """The module path that a hook name means.

    Taken as they are: paths from the model's root. Also understood: paths from its base model (`layers.3`), and the
    TransformerLens name of a block's output (`blocks.3.hook_resid_post`), which is block 3 of the longest stack.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    modules.pop("", None)
    if name in modules:
        return name
    ending: list[str] = [path for path in modules if path.endswith(f".{name}")]
    if len(ending) == 1:
        return ending[0]
    block = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", name)
    if block:
        # A list inside a block, such as its experts (`layers.0.mlp.experts`), is not a stack of blocks.
        lists = [(path, m) for path, m in modules.items() if isinstance(m, nn.ModuleList)]
        stacks = [(len(m), path) for path, m in lists if not re.search(r"\.\d+\.", path)]
        depth, path = max(stacks, default=(0, ""))
        if int(block[1]) < depth:
            return f"{path}.{block[1]}"
    nearest = difflib.get_close_matches(name, modules, 3, 0.4) or list(modules)[:3]
    raise UserError(f"you asked for the hook {name!r}", "the subject has no such module", f"the nearest are {nearest}")


@contextmanager
def replaced(model: nn.Module, edits: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[None]:
    """While it lasts, the named modules put out what their edit makes of their output (of its first element).

    A module that was not called in the meantime is refused: the edit would have changed nothing.
    """

    waiting = set(edits)

    def change(name: str, edit: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            waiting.discard(name)
            if isinstance(output, tuple | list):
                return type(output)((edit(output[0]), *output[1:]))
            return edit(output)

        return hook

    handles = [model.get_submodule(name).register_forward_hook(change(name, edit)) for name, edit in edits.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
    if waiting:
        raise never_called(min(waiting))


def never_called(name: str) -> UserError:
    return UserError(
        f"you asked for the hook {name!r}",
        "the module exists but the forward pass never calls it",
        "choose a module on the path of this input",
    )


def run_to_hooks(model: nn.Module, names: Sequence[str], forward: Callable[[], Any]) -> dict[str, Tensor]:
    """Call `forward` and return each named module's output (the first element where it returns a tuple).

    The pass ends at the deepest hook, so the cost is that of the layers up to it.
    """
    captured: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            captured[name] = output[0] if isinstance(output, tuple | list) else output
            if len(captured) == len(names):
                raise _Stop

        return hook

    handles = [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    try:
        with torch.inference_mode():
            forward()
    except _Stop:
        pass
    finally:
        for handle in handles:
            handle.remove()
    missing = [name for name in names if name not in captured]
    if missing:
        raise never_called(missing[0])
    for name, value in captured.items():
        if not isinstance(value, Tensor):
            raise UserError(
                f"you asked for the hook {name!r}",
                f"its output is a {type(value).__name__}, not a tensor",
                "choose a module inside it",
            )
    return captured
