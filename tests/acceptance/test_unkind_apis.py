"""APIs that page otherwise than one expects: a sync has every record, or says why not, and costs the others nothing."""

from pathlib import Path

import pytest

from tests.completeness.stack import running_stack
from tests.completeness.unkind import CASES, outcomes, problem
from tests.support.kafka import LiveBroker

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]


@pytest.mark.xfail(strict=True, reason="what the request says is believed, not what the response says")
async def test_every_record_of_an_unkind_api_is_read_or_the_sync_says_why_not(
    broker: LiveBroker, tmp_path: Path, postgres_dsn: str
) -> None:
    async with running_stack(broker, tmp_path, postgres_dsn) as stack:
        found = await outcomes(stack)
    problems = [wrong for case in CASES if (wrong := problem(case, found[case.name]))]
    assert not problems, "\n".join(problems)
