"""Services: service types, plans, team members and songs."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.products import persons
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity, fixed
from service.dev.simulator.words import LAST_NAMES, SONGS, TOPICS

SERVICE_TYPES = ("Sunday Morning", "Wednesday Night", "Youth")
FIRST_TYPE_PLANS = 30
SONGS_MAX = 200
TEAMS = ("Band", "Vocals", "Audio/Visual", "Greeters", "Production")


def _service_type(draw: Draw) -> Values:
    return {
        "archived_at": None,
        "deleted_at": None,
        "frequency": "Weekly",
        "name": SERVICE_TYPES[draw.index % len(SERVICE_TYPES)],
        "sequence": draw.index,
    }


def _plan(draw: Draw) -> Values:
    """`sort_date` is in the organisation's time zone, unlike all other times."""
    day = draw.created[:10]
    return {
        "dates": day,
        "series_title": draw.pick((None, "Romans", "Advent")),
        "sort_date": f"{day}T09:30:00-06:00",
        "title": draw.pick(TOPICS) if draw.chance(0.6) else None,
        "service_type": draw.one("services.service_type", draw.parent),
    }


def _plan_person(draw: Draw) -> Values:
    person = draw.below(draw.shape.counts["people.person"])
    return {
        "name": " ".join(draw.name(person)),
        "status": draw.pick(("C", "U", "D")),
        "team_position_name": draw.pick(("Guitar", "Vocals", "Sound", "Greeter")),
        "person": draw.one("people.person", person),
        "plan": draw.one("services.plan", draw.parent),
        "team": draw.any("services.team"),
    }


def _item(draw: Draw) -> Values:
    is_song = draw.chance(0.5)
    song = draw.below(draw.shape.counts["services.song"])
    return {
        "item_type": "song" if is_song else draw.pick(("item", "header", "media")),
        "length": 30 * draw.below(20),
        "sequence": draw.slot + 1,
        "title": SONGS[song % len(SONGS)] if is_song else draw.pick(TOPICS),
        "plan": draw.one("services.plan", draw.parent),
        "song": draw.one("services.song", song) if is_song else None,
    }


def _team(draw: Draw) -> Values:
    return {
        "archived_at": None,
        "deleted_at": None,
        "name": TEAMS[draw.index % len(TEAMS)],
        "sequence": draw.index,
        "service_type": draw.any("services.service_type"),
    }


def _song(draw: Draw) -> Values:
    round_of = draw.index // len(SONGS)
    return {
        "author": draw.pick(LAST_NAMES),
        "ccli_number": 10_000 + draw.index * 13,
        "copyright": f"Public Domain ({1800 + draw.below(200)})",
        "hidden": draw.chance(0.1),
        "last_scheduled_at": draw.updated if draw.chance(0.5) else None,
        "themes": draw.pick((None, ", Adoration", ", Hope, Grace")),
        "title": SONGS[draw.index % len(SONGS)] + (f" ({round_of + 1})" if round_of else ""),
    }


OF_PLAN = Relation("plan", "services.plan", required=True)

ENTITIES: tuple[Entity, ...] = (
    entity(
        "services.service_type",
        "ServiceType",
        "service_types",
        "T name sequence:i frequency archived_at:t deleted_at:t",
        fixed(len(SERVICE_TYPES)),
        _service_type,
        relations=(Relation("parent"),),
        where="id name parent_id",
    ),
    entity(
        "services.plan",
        "Plan",
        "plans",
        "T title series_title dates sort_date:t",
        Fan("services.service_type", 12, first=FIRST_TYPE_PLANS),
        _plan,
        relations=(
            Relation("service_type", "services.service_type", required=True),
            Relation("series"),
            Relation("previous_plan"),
            Relation("next_plan"),
        ),
        under="services.service_type",
        where="T id title series_title",
        order="T title sort_date",
    ),
    entity(
        "services.plan_person",
        "PlanPerson",
        "team_members",
        "T name status team_position_name",
        Fan("services.plan", 7),
        _plan_person,
        writes="CUD",
        relations=(
            Relation("person", "people.person", required=True),
            OF_PLAN,
            Relation("team", "services.team", required=True),
        ),
        under="services.plan",
        where="team_id",
    ),
    entity(
        "services.item",
        "Item",
        "items",
        "T title item_type sequence:i length:i",
        Fan("services.plan", 9),
        _item,
        relations=(OF_PLAN, Relation("song", "services.song"), Relation("arrangement"), Relation("key")),
        under="services.plan",
    ),
    entity(
        "services.team",
        "Team",
        "teams",
        "T name sequence:i archived_at:t deleted_at:t",
        fixed(len(TEAMS)),
        _team,
        relations=(Relation("service_type", "services.service_type", required=True),),
        where="name",
        order="T name",
    ),
    entity(
        "services.song",
        "Song",
        "songs",
        "T title author copyright ccli_number:i themes hidden:b last_scheduled_at:t",
        capped(60, 5, SONGS_MAX),
        _song,
        where="title author themes ccli_number hidden",
        order="T title",
    ),
    persons.OF_SERVICES,
)
