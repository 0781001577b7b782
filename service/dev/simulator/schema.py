"""Schema of the API: entities, their attributes, relationships, paths, and the number of their records."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import msgspec

from service.dev.simulator.draw import Draw

Kind = Literal["text", "integer", "number", "boolean", "time", "date", "object", "array"]
KINDS: Mapping[str, Kind] = {
    "": "text",
    "i": "integer",
    "n": "number",
    "b": "boolean",
    "t": "time",
    "d": "date",
    "o": "object",
    "a": "array",
}
TIMESTAMPS = "created_at:t updated_at:t"
URL_PRODUCTS = {"checkins": "check-ins"}
# Conditions of listings of persons that look at several attributes, or at other records (the module search).
SEARCHES = ("search_name", "search_name_or_email", "search_phone_number", "search_phone_number_e164")
EMPTY_EVERY = 5  # each fifth parent has no children

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Relation:
    """A relationship. `to` is an entity, or empty for one that the simulator does not serve (always null).

    required: the record is deleted with its target. history: it is kept with a dangling reference. shown: even if not
    included. edge: whether the target's record has a collection of these records; None: if it is required or many.
    Where the entity has an attribute `<name>_id`, that repeats the target's id.
    """

    name: str
    to: str = ""
    required: bool = False
    many: bool = False
    shown: bool = True
    history: bool = False
    edge: bool | None = None


@dataclass(frozen=True, slots=True)
class Fan:
    """Children of each record of `parent`: about `each`, `first` of the first one, some none (unless `is_full`).

    `one_in`: instead of that, a single child of each so-many-th record.
    """

    parent: str
    each: int = 1
    first: int = 0
    is_full: bool = False
    one_in: int = 0

    def sizes(self, parents: int, people: int) -> list[int]:
        """`first` is cut to the number of people, so that a group never has a person twice."""
        if self.one_in:
            return [int(index % self.one_in == 0) for index in range(parents)]
        sizes = [max(0, self.each + index % 3 - 1) for index in range(parents)]
        if not self.is_full:
            sizes[EMPTY_EVERY - 1 :: EMPTY_EVERY] = [0] * len(sizes[EMPTY_EVERY - 1 :: EMPTY_EVERY])
        if self.first and sizes:
            sizes[0] = self.first
        return [min(size, people) for size in sizes]


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of record. Lists of attribute names are in the API's order; attributes are alphabetical.

    `unasked`: what is shown of the attributes where `fields` names none of them. `hidden_by`: an attribute that hides a
    record from unfiltered lists when it is set. `counts`: attributes that count children. `product` is its name in
    URLs. `writes`: which of C, U and D (create, update, delete) clients may do; `needs`: attributes that they cannot
    leave blank. `is_single`: a parent has one such record or none, at the path of a list. `mirrors`: another entity,
    some of whose records these repeat for another product, with the same ids.
    """

    name: str
    product: str
    type: str
    segment: str
    attributes: Mapping[str, Kind]
    unasked: Callable[[Any], Any]
    relations: tuple[Relation, ...]
    amount: Callable[[int], int] | Fan
    make: Callable[[Draw], Values]
    under: str
    where: tuple[str, ...]
    order: tuple[str, ...]
    include: tuple[str, ...]
    filters: Mapping[str, tuple[str, object]]
    hidden_by: str
    counts: Mapping[str, str]
    has_page: bool
    writes: str
    needs: tuple[str, ...]
    is_single: bool
    mirrors: str
    struct: Callable[..., msgspec.Struct]

    def relation(self, name: str) -> Relation | None:
        return next((relation for relation in self.relations if relation.name == name), None)


def entity(
    name: str,
    type: str,
    segment: str,
    attributes: str,
    amount: Callable[[int], int] | Fan,
    make: Callable[[Draw], Values],
    *,
    relations: Sequence[Relation] = (),
    under: str = "",
    where: str = "",
    order: str = "",
    include: str = "",
    filters: Mapping[str, tuple[str, object]] | None = None,
    hidden_by: str = "",
    counts: Mapping[str, str] | None = None,
    has_page: bool = False,
    writes: str = "",
    needs: str = "",
    is_single: bool = False,
    mirrors: str = "",
) -> Entity:
    """An entity from short notation: `T` is both timestamps; `:i :n :b :t :d :o :a` are the kinds that are not text. A
    `?` behind the kind (`:b?`, `:?`) makes an attribute one that is shown on request only."""
    kinds = _kinds(attributes)
    fields = [(attribute, Any, None) for attribute in kinds]
    return Entity(
        name=name,
        product=URL_PRODUCTS.get(name.partition(".")[0], name.partition(".")[0]),
        type=type,
        segment=segment,
        attributes=kinds,
        unasked=_unasked(kinds, {word.partition(":")[0] for word in _words(attributes) if word.endswith("?")}),
        relations=tuple(relations),
        amount=amount,
        make=make,
        under=under,
        where=_names(where),
        order=_names(order),
        include=_names(include),
        filters=filters or {},
        hidden_by=hidden_by,
        counts=counts or {},
        has_page=has_page,
        writes=writes,
        needs=_names(needs),
        is_single=is_single,
        mirrors=mirrors,
        struct=msgspec.defstruct(f"{type}Attributes", fields, frozen=True, gc=False, kw_only=True),
    )


def _kinds(attributes: str) -> dict[str, Kind]:
    pairs = [word.partition(":") for word in _words(attributes)]
    return {name: KINDS[suffix.removesuffix("?")] for name, _, suffix in sorted(pairs)}


def _unasked(attributes: Iterable[str], on_request: set[str]) -> Callable[[Any], Any]:
    """A function from attributes to what is shown of them: all, or all but those on request."""
    if not on_request:
        return lambda values: values
    names = tuple(name for name in attributes if name not in on_request)
    read = attrgetter(*names)
    return lambda values: dict(zip(names, read(values), strict=True))


def _names(words: str) -> tuple[str, ...]:
    return tuple(word.partition(":")[0] for word in _words(words))


def _words(text: str) -> list[str]:
    return [word for part in text.split() for word in (TIMESTAMPS.split() if part == "T" else [part])]


def capped(people_each: float, least: int, most: int) -> Callable[[int], int]:
    """One for every `people_each` persons, within bounds."""
    return lambda people: max(least, min(most, int(people / people_each)))


def fixed(count: int) -> Callable[[int], int]:
    return lambda people: count


def share(of_people: float) -> Callable[[int], int]:
    return lambda people: max(1, int(people * of_people))
