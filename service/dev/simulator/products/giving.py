"""Giving: funds, donations, batches and pledges."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.products import persons
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity, fixed
from service.dev.simulator.words import TOPICS

FUNDS = ("General", "Missions", "Building", "Benevolence", "Youth", "Camp 2026")
BATCHES_MAX = 60
DONATIONS_MAX = 300
CAMPAIGNS = 4
RECURRING_MAX = 100
BIG_CAMPAIGN = 110  # more pledges than fit on a page
REFUNDED_EVERY = 12


def _cents(draw: Draw, donation: int) -> int:
    return 500 + 25 * draw.steady("cents", donation, 4_000)


def _fund(draw: Draw) -> Values:
    name = FUNDS[draw.index % len(FUNDS)]
    return {
        "color": "#1f77b4",
        "default": draw.index == 0,
        "deletable": draw.index != 0,
        "description": None,
        "ledger_code": f"4{draw.index:03}",
        "name": name,
        "slug": name.lower().replace(" ", "-"),
        "visibility": draw.pick(("everywhere", "admin_only", "hidden")),
    }


def _batch(draw: Draw) -> Values:
    is_committed = draw.chance(0.9)
    return {
        "committed_at": draw.updated if is_committed else None,
        "description": f"Sunday {draw.created[:10]}",
        "donations_count": draw.below(40),
        "status": "committed" if is_committed else "in_progress",
        "total_cents": draw.below(900_000),
        "total_currency": "USD",
    }


def _donation(draw: Draw) -> Values:
    method = draw.pick(("card", "ach", "cash", "check"))
    is_online = method in ("card", "ach")
    return {
        "amount_cents": _cents(draw, draw.index),
        "amount_currency": "USD",
        "completed_at": draw.updated,
        "fee_cents": -draw.below(90) if is_online else 0,
        "fee_covered": is_online and draw.chance(0.3),
        "fee_currency": "USD",
        "payment_brand": "Visa" if method == "card" else None,
        "payment_channel": "church_center" if is_online else "batch",
        "payment_check_dated_at": draw.created[:10] if method == "check" else None,
        "payment_check_number": 1_000 + draw.index if method == "check" else None,
        "payment_last4": f"{draw.below(10_000):04}" if is_online else None,
        "payment_method": method,
        "payment_method_sub": "credit" if method == "card" else None,
        "payment_status": "failed" if is_online and draw.chance(0.05) else "succeeded",
        "received_at": draw.created,
        "refundable": is_online,
        "refunded": _is_refunded(draw.index),
        "batch": None if is_online else draw.any("giving.batch"),
        "campus": draw.maybe(0.5, "people.campus"),
        "person": draw.maybe(0.95, "people.person"),
        "labels": (),
        "recurring_donation": draw.maybe(0.2, "giving.recurring_donation") if is_online else None,
    }


def _is_refunded(donation: int) -> bool:
    return donation % REFUNDED_EVERY == 0


def _refund(draw: Draw) -> Values:
    return {
        "amount_cents": _cents(draw, draw.parent),
        "amount_currency": "USD",
        "fee_cents": 0,
        "fee_currency": "USD",
        "refunded_at": draw.created,
    }


def _designation(draw: Draw) -> Values:
    """The donation's amount in as many parts as it has designations; the first has the remainder."""
    parts = max(1, draw.size("giving.designation", draw.parent))
    each, left = divmod(_cents(draw, draw.parent), parts)
    return {
        "amount_cents": each + (0 if draw.slot else left),
        "amount_currency": "USD",
        "fee_cents": 0,
        "fund": draw.any("giving.fund"),
    }


def _pledge_campaign(draw: Draw) -> Values:
    return {
        "description": None,
        "ends_at": f"{2024 + draw.index % 3}-12-31T23:59:59Z",
        "goal_cents": 1_000_000 * (draw.index + 1),
        "name": f"{TOPICS[draw.index * 5 % len(TOPICS)]} Campaign",
        "starts_at": f"{2023 + draw.index % 3}-01-01T00:00:00Z",
        "fund": draw.any("giving.fund"),
    }


def _pledge(draw: Draw) -> Values:
    return {
        "amount_cents": 10_000 * (1 + draw.below(50)),
        "amount_currency": "USD",
        "donated_total_cents": 100 * draw.below(5_000),
        "person": draw.one("people.person", draw.parent * BIG_CAMPAIGN + draw.slot),
        "pledge_campaign": draw.one("giving.pledge_campaign", draw.parent),
    }


def _recurring_donation(draw: Draw) -> Values:
    return {
        "amount_cents": 100 * (5 + draw.below(200)),
        "amount_currency": "USD",
        "next_occurrence": f"2027-{1 + draw.below(12):02}-01T12:00:00Z",
        "schedule": {"frequency": "monthly", "day_in_month": {"day": 1 + draw.below(28)}},
        "status": draw.pick(("active", "paused", "canceled")),
        "person": draw.any("people.person"),
    }


ENTITIES: tuple[Entity, ...] = (
    entity(
        "giving.fund",
        "Fund",
        "funds",
        "T name description ledger_code slug visibility color default:b deletable:b",
        fixed(len(FUNDS)),
        _fund,
        writes="CUD",
        needs="name visibility",
        where="id name default visibility",
    ),
    entity(
        "giving.batch",
        "Batch",
        "batches",
        "T description status committed_at:t donations_count:i? total_cents:i total_currency",
        capped(200, 2, BATCHES_MAX),
        _batch,
        writes="CUD",
        relations=(Relation("batch_group"),),
        where="updated_at",
        order="updated_at",
        filters={"committed": ("status", "committed"), "in_progress": ("status", "in_progress")},
    ),
    entity(
        "giving.donation",
        "Donation",
        "donations",
        "T received_at:t completed_at:t amount_cents:i amount_currency fee_cents:i fee_currency fee_covered:b "
        "payment_method payment_method_sub payment_status payment_channel payment_brand payment_last4 "
        "payment_check_number:i payment_check_dated_at:d memo refundable:b refunded:b",
        capped(20, 4, DONATIONS_MAX),
        _donation,
        writes="CUD",
        relations=(
            Relation("batch", "giving.batch"),
            Relation("campus", "people.campus"),
            Relation("person", "people.person"),
            Relation("payment_source"),
            Relation("labels", many=True),
            Relation("recurring_donation", "giving.recurring_donation"),
        ),
        where="T received_at completed_at payment_method",
        order="T received_at completed_at",
        include="designations refund",
        filters={"succeeded": ("payment_status", "succeeded")},
    ),
    entity(
        "giving.designation",
        "Designation",
        "designations",
        "amount_cents:i amount_currency fee_cents:i",
        Fan("giving.donation", 2, is_full=True),
        _designation,
        relations=(Relation("fund", "giving.fund", required=True),),
        under="giving.donation",
    ),
    entity(
        "giving.pledge_campaign",
        "PledgeCampaign",
        "pledge_campaigns",
        "T name description starts_at:t ends_at:t goal_cents:i",
        fixed(CAMPAIGNS),
        _pledge_campaign,
        writes="CUD",
        relations=(Relation("fund", "giving.fund", required=True),),
        where="fund_id starts_at ends_at",
        include="fund",
    ),
    entity(
        "giving.recurring_donation",
        "RecurringDonation",
        "recurring_donations",
        "T status amount_cents:i amount_currency schedule:o next_occurrence:t",
        capped(100, 2, RECURRING_MAX),
        _recurring_donation,
        relations=(Relation("person", "people.person", required=True),),
    ),
    entity(
        "giving.refund",
        "Refund",
        "refund",
        "T amount_cents:i amount_currency fee_cents:i fee_currency refunded_at:t",
        Fan("giving.donation", one_in=REFUNDED_EVERY),
        _refund,
        under="giving.donation",
        is_single=True,
    ),
    entity(
        "giving.pledge",
        "Pledge",
        "pledges",
        "T amount_cents:i amount_currency donated_total_cents:i joint_giver_amount_cents:i "
        "joint_giver_donated_total_cents:i",
        Fan("giving.pledge_campaign", 14, first=BIG_CAMPAIGN),
        _pledge,
        relations=(
            Relation("person", "people.person", required=True),
            Relation("pledge_campaign", "giving.pledge_campaign", required=True),
            Relation("joint_giver", "people.person", shown=False),
        ),
        under="giving.pledge_campaign",
        where="T",
        order="T",
        include="joint_giver pledge_campaign",
        writes="CUD",
        needs="amount_cents",
    ),
    persons.OF_GIVING,
)
