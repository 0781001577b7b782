"""Negative controls: our processes with one protection taken out. A run with one must not come out clean."""

CONTROLS: dict[str, dict[str, str]] = {  # by name: the program that is run instead of `service`, by role
    "without fence": {"fetcher": "tests.chaos.controls.without_fence"},
    "without flush": {"worker": "tests.chaos.controls.without_flush"},
    "without put on replay": {"worker": "tests.chaos.controls.without_put_on_replay"},
}
