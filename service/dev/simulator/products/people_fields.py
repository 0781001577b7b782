"""People: an organisation's own fields, and notes."""

from service.dev.simulator.draw import Draw
from service.dev.simulator.schema import Entity, Fan, Relation, Values, capped, entity, fixed, share
from service.dev.simulator.words import SENTENCES, TOPICS

DEFINITIONS_MAX = 24
NOTES_MAX = 500
TABS = ("Personal", "Church", "Volunteering", "Background")
CATEGORIES = ("General", "Care", "Follow-up", "Confidential", "Counselling")
DATA_TYPES = ("select", "string", "date", "boolean", "number", "text", "checkboxes", "file")
DELETED_EVERY = 12  # each twelfth definition is deleted, and listed only with filter=include_deleted


def _is_deleted(index: int) -> bool:
    return index % DELETED_EVERY == DELETED_EVERY - 1


def _tab(draw: Draw) -> Values:
    name = TABS[draw.index % len(TABS)]
    return {"name": name, "sequence": draw.index + 1, "slug": name.lower()}


def _field_definition(draw: Draw) -> Values:
    topic = TOPICS[draw.index % len(TOPICS)]
    return {
        "config": None,
        "data_type": DATA_TYPES[draw.index % len(DATA_TYPES)],
        "deleted_at": draw.later() if _is_deleted(draw.index) else None,
        "name": topic,
        "sequence": draw.index + 1,
        "slug": f"field_{draw.index}",
        "tab": draw.one("people.tab", draw.index),
    }


def _field_option(draw: Draw) -> Values:
    return {
        "sequence": draw.slot + 1,
        "value": f"{TOPICS[(draw.parent + draw.slot) % len(TOPICS)]} {draw.slot + 1}",
        "field_definition": draw.one("people.field_definition", draw.parent),
    }


def _field_datum(draw: Draw) -> Values:
    definition = draw.below(draw.shape.counts["people.field_definition"])
    definition = 0 if _is_deleted(definition) else definition
    is_of_organization = draw.index % 97 == 96
    return {
        "file": {"url": None},
        "value": draw.pick(SENTENCES[:8]),
        "field_definition": draw.one("people.field_definition", definition),
        "customizable": draw.shape.organization if is_of_organization else draw.any("people.person"),
    }


def _note_category(draw: Draw) -> Values:
    return {"name": CATEGORIES[draw.index % len(CATEGORIES)], "locked": draw.index == 0}


def _note(draw: Draw) -> Values:
    return {
        "display_date": draw.created,
        "note": draw.pick(SENTENCES),
        "note_category": draw.any("people.note_category"),
        "person": draw.any("people.person"),
        "created_by": draw.one("people.person", draw.below(5)),
    }


_TAB = "name sequence slug"
_DEFINITION = "name slug sequence data_type config tab_id deleted_at"
_DATUM = "T value file file_name file_size file_content_type"

ENTITIES: tuple[Entity, ...] = (
    entity(
        "people.tab",
        "Tab",
        "tabs",
        "name sequence:i slug",
        fixed(len(TABS)),
        _tab,
        where=_TAB,
        order=_TAB,
        writes="CUD",
        needs="name",
    ),
    entity(
        "people.field_definition",
        "FieldDefinition",
        "field_definitions",
        "name slug sequence:i data_type config tab_id:i deleted_at:t",
        capped(300, 4, DEFINITIONS_MAX),
        _field_definition,
        writes="CUD",
        needs="name data_type",
        relations=(Relation("tab", "people.tab", required=True),),
        where=_DEFINITION,
        order=_DEFINITION,
        include="field_options tab",
        hidden_by="deleted_at",
    ),
    entity(
        "people.field_option",
        "FieldOption",
        "field_options",
        "sequence:i value",
        Fan("people.field_definition", 4),
        _field_option,
        writes="CUD",
        needs="value",
        relations=(Relation("field_definition", "people.field_definition", required=True),),
        under="people.field_definition",
        where="sequence value",
        order="sequence value",
    ),
    entity(
        "people.field_datum",
        "FieldDatum",
        "field_data",
        "T value file:o file_name file_size:i file_content_type",
        share(0.3),
        _field_datum,
        writes="CUD",
        relations=(
            Relation("field_definition", "people.field_definition", required=True),
            Relation("customizable", "people.person", required=True),
        ),
        where=f"{_DATUM} field_definition_id",
        order=_DATUM,
        include="field_definition",
    ),
    entity(
        "people.note_category",
        "NoteCategory",
        "note_categories",
        "T name locked:b",
        fixed(len(CATEGORIES)),
        _note_category,
        writes="CUD",
        needs="name",
        where="T name locked",
        order="T name locked",
    ),
    entity(
        "people.note",
        "Note",
        "notes",
        "T note display_date:t person_id:i created_by_id:i note_category_id:i",
        capped(30, 3, NOTES_MAX),
        _note,
        writes="CUD",
        needs="note",
        relations=(
            Relation("note_category", "people.note_category", required=True, shown=False),
            Relation("person", "people.person", required=True, shown=False),
            Relation("created_by", "people.person", shown=False),
        ),
        where="note note_category_id",
        order="T display_date note note_category_id",
        include="created_by person",
    ),
)
