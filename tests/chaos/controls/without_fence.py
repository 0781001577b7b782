"""A fetcher whose pages are committed whether their run is open or not."""

from unittest.mock import patch

from service.cli import main
from service.sinks.postgres import statements

FENCE = "and state = 'open' "

if __name__ == "__main__":
    assert FENCE in statements._COMMIT, "the fence stands elsewhere now: this control takes nothing out any more"
    with patch.object(statements, "_COMMIT", statements._COMMIT.replace(FENCE, "")):
        main()
