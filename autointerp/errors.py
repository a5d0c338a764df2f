"""How a run ends when it cannot simply end well. The exit codes are part of the command line's contract."""


class UserError(Exception):
    """The user's mistake, in one sentence: what you asked, what I found, what to do next. Exit code 2."""

    def __init__(self, asked: str, found: str, next_step: str) -> None:
        super().__init__(f"{asked[0].upper()}{asked[1:]}, but {found}: {next_step}.")


class GateFailed(Exception):
    """A gate that the user set (circularity, regression) says no. Exit code 1."""
