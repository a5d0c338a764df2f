"""How a run ends when it cannot simply end well. The exit codes are part of the command line's contract."""


class Told(Exception):
    """One sentence: what you asked, what I found, what to do next."""

    def __init__(self, asked: str, found: str, next_step: str) -> None:
        super().__init__(f"{asked[0].upper()}{asked[1:]}, but {found}: {next_step}.")
        self.asked, self.found, self.next_step = asked, found, next_step


class UserError(Told):
    """The user's mistake. Exit code 2."""


class WorkPending(Told):
    """Work is left that the same command will do when it is run again: a cap was reached, a provider was down,
    another process is at it.

    What was answered until then is kept. Exit code 75.
    """


class GateFailed(Exception):
    """A gate that the user set (circularity, regression) says no. Exit code 1."""
