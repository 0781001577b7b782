"""Errors, named for what happens next.

SluiceError
├── Retryable   try again later: nothing was lost, nothing was written wrong
├── Rejected    never going to work as it stands: a command goes to the dead letters, a run fails with the reason
└── Broken      our own bug or a broken installation: the process stops before it writes anything wrong
"""

REASON_CHARS_MAX = 2000  # of a reason that is stored or published
EXCERPT_CHARS_MAX = 300  # of somebody else's words within a reason
SHOWN_CHARS_MAX = 80  # of a wrong value within a reason


class SluiceError(Exception):
    """The root of every error that Sluice raises on purpose. Its text is a sentence for the person on call."""


class Retryable(SluiceError):
    """Worth another try. `after_seconds` is the earliest time that the other side asked for, if it did."""

    def __init__(self, reason: str, after_seconds: float | None = None) -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds


class Rejected(SluiceError):
    """Will fail the same way each time until a person changes something."""


class Broken(SluiceError):
    """An invariant does not hold. Stop first, ask afterwards."""


def shortened(text: str, chars_max: int = REASON_CHARS_MAX) -> str:
    """The text, cut with an ellipsis where it is longer than `chars_max`."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
