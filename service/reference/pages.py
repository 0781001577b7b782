"""The list of generated files: each name below the repository's root, and the function that gives its text."""

from collections.abc import Callable, Mapping

from manifests.schema import adapter_schema, entity_schema
from service.reference.commands import commands_page
from service.reference.settings import settings_page
from service.reference.states import states_page
from service.reference.topics import topics_page

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/cli.md": commands_page,
    "docs/reference/settings.md": settings_page,
    "docs/reference/states.md": states_page,
    "docs/reference/topics.md": topics_page,
    "manifests/adapter.schema.json": adapter_schema,
    "manifests/schema.json": entity_schema,
}
