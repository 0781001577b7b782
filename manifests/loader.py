"""Loader: a directory of manifests becomes a checked catalogue, or one sentence about the first bad file.

    DIRECTORY/ADAPTER/adapter.yaml
    DIRECTORY/ADAPTER/PRODUCT/TYPE.yaml    the entity PRODUCT.TYPE

Files are read in sorted order. What is not YAML (a README, a schema) and what begins with "_" or "." is passed over;
a YAML file in a place where nobody would read it is an error.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from manifests.checks import ENTITIES_MAX, first_problem
from manifests.document import FILE_BYTES_MAX, Document, parse, shaped
from manifests.entity import Adapter, AdapterFile, Entity, Product
from topics.errors import Rejected

ADAPTERS_MAX = 100
ADAPTER_FILE = "adapter.yaml"


@dataclass(frozen=True, slots=True)
class Catalog:
    """All adapters by name, in sorted order, checked."""

    adapters: Mapping[str, Adapter]

    def adapter(self, name: str) -> Adapter:
        """Rejected, with the names there are, for one that is not known."""
        found = self.adapters.get(name)
        if found is None:
            raise Rejected(f"there is no adapter {name!r}; there are: {', '.join(self.adapters)}")
        return found

    def entity(self, adapter: str, name: str) -> Entity:
        """Rejected for an adapter or an entity that is not known."""
        entities = self.adapter(adapter).entities
        found = entities.get(name)
        if found is None:
            raise Rejected(f"adapter {adapter} has no entity {name!r}; `sluice manifests show {adapter}` lists them")
        return found


@cache
def load_packaged() -> Catalog:
    """The manifests that Sluice comes with. Read once a process: they are as fixed as the code."""
    return load(Path(__file__).parent)


def load_with(directory: Path | None) -> Catalog:
    """The packaged manifests and those of a directory of one's own. Rejected: an adapter that is in both."""
    packaged = load_packaged()
    if directory is None:
        return packaged
    own = load(directory)
    twice = sorted(own.adapters.keys() & packaged.adapters.keys())
    if twice:
        raise Rejected(f"{directory} holds {', '.join(twice)}, which Sluice comes with: give it another name")
    return Catalog({**packaged.adapters, **own.adapters})


def load(directory: Path) -> Catalog:
    """Every adapter of a directory. Rejected: `FILE:LINE: PLACE: reason` of the first bad file."""
    if (directory / ADAPTER_FILE).is_file():
        raise Rejected(f"{directory} is one adapter; name the directory that holds it: {directory.parent}")
    found = [path for path in _entries(directory) if path.is_dir()]
    if not 1 <= len(found) <= ADAPTERS_MAX:
        raise Rejected(
            f"{directory} holds {len(found)} adapters (NAME/{ADAPTER_FILE}); 1 to {ADAPTERS_MAX} can be used"
        )
    _refuse_yaml(directory, f"an adapter's file is NAME/{ADAPTER_FILE}")
    return Catalog({path.name: _load_adapter(path) for path in found})


def _load_adapter(directory: Path) -> Adapter:
    if not (directory / ADAPTER_FILE).is_file():
        raise Rejected(f"{directory}: has no {ADAPTER_FILE}; each directory of {directory.parent} must be an adapter")
    document = _read(directory / ADAPTER_FILE)
    file = shaped(document, AdapterFile)
    if file.name != directory.name:
        raise document.error(("name",), f"is {file.name!r}, its directory {directory.name!r}; they must be the same")
    documents = {"": document}
    entities: dict[str, Entity] = {}
    for path in _entity_files(directory):
        document = _read(path)
        entity = _named(document, shaped(document, Entity))
        documents[entity.name] = document
        entities[entity.name] = _with_headers(entity, file.products.get(path.parent.name))
    adapter = Adapter(file=file, entities=entities)
    problem = first_problem(adapter)
    if problem:
        raise documents[problem.entity].error(problem.place, problem.reason)
    return adapter


def _entity_files(directory: Path) -> Iterator[Path]:
    _refuse_yaml(directory, f"an entity's file is PRODUCT/TYPE.yaml, the adapter's {ADAPTER_FILE}", ADAPTER_FILE)
    count = 0
    for product in _entries(directory):
        if not product.is_dir():
            continue
        for path in _entries(product):
            if path.is_dir():
                raise Rejected(f"{path}: too deep; an entity's file is PRODUCT/TYPE.yaml")
            if path.suffix == ".yml":
                raise Rejected(f"{path}: the ending must be .yaml")
            if path.suffix == ".yaml":
                count += 1
                if count > ENTITIES_MAX:
                    raise Rejected(f"{path}: one entity too many; an adapter has at most {ENTITIES_MAX}")
                yield path


def _named(document: Document, entity: Entity) -> Entity:
    """Since a name follows from its path, no two files can define the same entity."""
    expected = f"{document.path.parent.name}.{document.path.stem}"
    if entity.name != expected:
        raise document.error(("name",), f"is {entity.name!r}, the file's path says {expected!r}; rename one of them")
    return entity


def _with_headers(entity: Entity, product: Product | None) -> Entity:
    """The entity's own headers win over its product's."""
    if product is None or not product.headers:
        return entity
    return entity.model_copy(update={"headers": {**product.headers, **entity.headers}})


def _refuse_yaml(directory: Path, reason: str, but: str = "") -> None:
    for path in _entries(directory):
        if path.suffix in {".yaml", ".yml"} and path.name != but:
            raise Rejected(f"{path}: nobody would read this file here; {reason}")


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(path for path in directory.iterdir() if path.name[0] not in "_.")
    except OSError as error:
        raise Rejected(f"{directory}: cannot be read as a directory of manifests: {error.strerror}") from None


def _read(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise Rejected(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_BYTES_MAX:
        raise Rejected(f"{path}: has more than {FILE_BYTES_MAX} bytes; a manifest is short")
    try:
        return parse(path, data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Rejected(f"{path}:{line}: is not UTF-8 text") from None
