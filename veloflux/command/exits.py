"""The exit statuses of the command: a script tells by them what went wrong."""

import click

OK = 0
FAILED = 1
WRONG_USE = 2
CONFLICT = 3
NOT_THERE = 4
REFUSED = 5
UNAUTHORIZED = 6
UNREACHABLE = 7
INTERRUPTED = 130

MEANINGS = {
    OK: "Done.",
    FAILED: "It could not be done: the file has errors, or the daemon refused it and says why.",
    WRONG_USE: "Wrong use of the command; or warnings, with `check --strict`.",
    CONFLICT: "Somebody else has changed it meanwhile, or it does not go with what is there.",
    NOT_THERE: "There is no such thing; `explain`: no route takes the request.",
    REFUSED: "`explain`: the request is refused.",
    UNAUTHORIZED: "The daemon does not know who asks, or they may not.",
    UNREACHABLE: "No daemon answers there, or not in time.",
    INTERRUPTED: "Interrupted from the keyboard.",
}


class CommandError(click.ClickException):
    """The command failed, and with which exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status
