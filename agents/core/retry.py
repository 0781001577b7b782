"""How long to wait before the next attempt. Pure."""


def backoff_seconds(attempt: int, first: float, longest: float, asked: float | None = None) -> float:
    """Exponential: `first`, twice that, and so on, at most `longest`; never less than the other side asked for.

    What the other side asks for is believed up to `longest`, too.
    """
    doubled = first * 2.0 ** min(attempt - 1, 30)
    return min(max(doubled, asked or 0.0), longest)
