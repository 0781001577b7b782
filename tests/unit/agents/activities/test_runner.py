"""The boundary between a fetcher's process and one command: whatever a command meets, its report can be published."""

from agents.activities.runner import ActivityRunner
from tests.support.leases import LeaseBench
from topics.catalog import COMMAND_BYTES_MAX
from topics.codec import encode
from topics.kinds.entity import FetchPages, PageDone


async def test_a_report_that_no_message_holds_fails_its_entity_with_the_reason() -> None:
    """The publisher refuses it, which ended the process, and the next one, for everybody."""
    bench = LeaseBench()
    await bench.commit("a.log", 1, ["l1"], next_cursor="/" + "x" * 1_200_000)
    command = FetchPages(
        workflow="entity-sync:acme:toy:a.log:full", run=7, org="acme", adapter="toy", entity="a.log", type="full",
        lease=1, first=1, units=1,
    )  # fmt: skip
    done = await ActivityRunner(bench.reader, bench.database).run(command)
    assert isinstance(done, PageDone)
    assert len(encode(done)) < COMMAND_BYTES_MAX
    assert (done.error, done.units, done.next_cursor) == ("rejected", 0, None)
    assert "at most 64,000 fit into a message: the link to the page behind them has 1,200,001 characters" in done.reason
