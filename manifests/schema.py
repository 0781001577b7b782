"""The shapes as JSON Schema, for editors. schema.json and adapter.schema.json are these texts; a test compares them.

After a change of a shape: `sluice manifests schema entity > manifests/schema.json`, and `adapter` likewise.
"""

import json

from manifests.entity import AdapterFile, Entity, Shape

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def entity_schema() -> str:
    return _schema(Entity, "A Sluice entity (PRODUCT/TYPE.yaml)")


def adapter_schema() -> str:
    return _schema(AdapterFile, "A Sluice adapter (adapter.yaml)")


def _schema(shape: type[Shape], title: str) -> str:
    schema = shape.model_json_schema(by_alias=True)
    return json.dumps({"$schema": DIALECT, **schema, "title": title}, indent=2) + "\n"
