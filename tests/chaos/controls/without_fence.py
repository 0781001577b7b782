"""A fetcher whose pages are committed whether their run is open or not."""

from unittest.mock import patch

from service.cli import main
from service.sinks.postgres import statements

FENCE = "and state = 'open' "

if __name__ == "__main__":
    assert FENCE in statements._LEDGER, "the fence stands elsewhere now: this control takes nothing out any more"
    with patch.object(statements, "_LEDGER", statements._LEDGER.replace(FENCE, "")):
        main()
