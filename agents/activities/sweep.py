"""Sweep: the last step of a reconciliation. Rows that it has not seen are asked for one by one, and deleted or held.

A row is deleted only if the run has proven that it saw everything, the API says that the single record is gone (of
many rows, those of a sample), and they are not more than the manifest allows. Whatever is in doubt waits for a person.
"""

import asyncio
from dataclasses import replace

import msgspec

from agents import concurrency
from agents.activities.lease import Lease
from agents.deletes import Candidate, Check, Missing, Sweep
from agents.ledger import Proof
from agents.ports import FetchRequest, Parent
from agents.records.document import dig, path_of
from manifests.entity import Entity, is_one
from manifests.single import RECORD, can_get, is_got_below, single
from topics.errors import Rejected, shortened
from topics.kinds.sync import RECONCILIATION

CHECKS_MAX = 100  # so many missing rows are all asked for; of more, so many of them
CHECKS_PER_CALL = 4 * concurrency.UNITS_PER_LEASE


async def swept(lease: Lease, proof: Proof) -> Proof | None:
    """The run's proof with what a reconciliation has found and done; None if time is up before that."""
    pages = lease.pages
    if pages.run.type != RECONCILIATION:
        return proof
    if not proof.complete:
        compared = await pages.database.compare(pages.run, f"nothing is deleted: {proof.reason}")
        return msgspec.structs.replace(proof, comparison=compared)
    sweep = Sweep(pages.run, pages.adapter, pages.entity, proof.pages)
    found = await _checked(lease, sweep)
    if found is None:
        return None
    missing, problem = found
    why = hold(pages.entity, missing, problem)
    done = await pages.database.sweep(replace(sweep, hold=why))
    return msgspec.structs.replace(proof, comparison=done)


async def _checked(lease: Lease, sweep: Sweep) -> tuple[Missing, str] | None:
    """What is missing once the API was asked for it, or why it could not be asked."""
    database = lease.pages.database
    missing = await database.find_missing(sweep, CHECKS_MAX, CHECKS_PER_CALL)
    if not can_get(sweep.entity):
        return missing, "the key has several parts, so no single record can be asked for"
    try:
        is_first = missing.unchecked and not missing.checked
        if is_first and missing.witness is not None and (await _check(lease, missing.witness)).is_gone:
            return missing, f"the API does not find record {missing.witness.key} either, which its list shows"
        while missing.unchecked:
            await database.note_checks(sweep.run, await _checks(lease, missing))
            missing = await database.find_missing(sweep, CHECKS_MAX, CHECKS_PER_CALL)
            if missing.unchecked and lease.is_late():
                return None
    except Rejected as error:
        return missing, f"the API does not say whether they exist: {error}"
    return missing, ""


async def _checks(lease: Lease, missing: Missing) -> list[Check]:
    slots = asyncio.Semaphore(concurrency.UNITS_PER_LEASE)

    async def one(candidate: Candidate) -> Check:
        async with slots:
            return await _check(lease, candidate)

    answers = await asyncio.gather(*map(one, missing.unchecked), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [answer for answer in answers if isinstance(answer, Check)]


async def _check(lease: Lease, candidate: Candidate) -> Check:
    """Ask for the single record. Only 404 or 410 say that it is gone; or no record, where the list is a single one."""
    pages = lease.pages
    own = str(dig(msgspec.json.decode(candidate.raw), path_of(pages.entity.key[0])))
    parent = Parent(own, {})
    if is_got_below(pages.entity) and candidate.parent is not None:
        parent = Parent(candidate.parent.key, {**candidate.parent.columns, RECORD: own})
    request = FetchRequest(pages.run.org, pages.adapter, single(pages.entity), parent=parent, rank=pages.rank)
    at = pages.clock.now()
    body = await pages.source.fetch(request)
    is_gone = body is None or (is_one(pages.entity) and body.records == 0)
    return Check(candidate.key, is_gone, at)


def hold(entity: Entity, missing: Missing, problem: str) -> str:
    """Why the rows that were not seen must not be deleted without a person; empty if nothing speaks against it."""
    gone = missing.found - missing.existing
    doubt = problem or _doubt(entity, missing, gone)
    if not gone or not doubt:
        return ""
    return shortened(
        f"{gone:,} of {missing.rows:,} rows were not seen, and are not deleted, since {doubt}. `sluice deletes` shows "
        "them, and deletes or discards them"
    )


def _doubt(entity: Entity, missing: Missing, gone: int) -> str:
    if missing.has_unkeyed:
        return "records without a key were read, which may be any of them"
    if missing.witness is None:
        return "no record was seen at all, so nothing shows that the API answers as it should"
    if missing.existing and missing.checked < missing.found:
        return f"of {missing.checked} that the API was asked for, it still has {missing.existing}"
    allowed = max(entity.deletes.rows, int(entity.deletes.ratio * missing.rows))
    return f"that is more than the {allowed:,} that may go without a question" if gone > allowed else ""
