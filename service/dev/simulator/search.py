"""Searches for persons: by the beginnings of words in their names, and by their email addresses and phone numbers."""

from collections.abc import Callable

from service.dev.simulator.folding import fold
from service.dev.simulator.record import Record, pointers
from service.dev.simulator.selection import Test
from service.dev.simulator.store import Organisation

NAMES = ("first_name", "last_name", "given_name", "middle_name", "nickname")


def search_test(org: Organisation, key: str, value: str) -> Test:
    """The test of a search now: it is not right any more when an email address or a phone number has changed."""
    if key == "search_name":
        return lambda record: _is_named(record, value)
    if key == "search_name_or_email":
        found = _owners(org, "people.email", "address", lambda address: fold(address) == fold(value))
        return lambda record: record.id in found or _is_named(record, value)
    if key == "search_phone_number":
        digits = _digits(value)
        found = _owners(org, "people.phone_number", "number", lambda number: _digits(number).endswith(digits))
        return lambda record: bool(digits) and record.id in found
    found = _owners(org, "people.phone_number", "e164", lambda number: number == value)
    return lambda record: record.id in found


def _is_named(record: Record, value: str) -> bool:
    """Whether each word that is searched for begins a word of the person's names."""
    names = " ".join(getattr(record.attributes, name, None) or "" for name in NAMES)
    words = fold(names).split()
    return all(any(word.startswith(start) for word in words) for start in fold(value).split())


def _owners(org: Organisation, entity: str, attribute: str, is_met: Callable[[str], bool]) -> frozenset[str]:
    met = (record for record in org.records(entity).values() if is_met(getattr(record.attributes, attribute) or ""))
    return frozenset(pointer.id for record in met for pointer in pointers(record, "person"))


def _digits(text: str) -> str:
    return "".join(letter for letter in text if letter.isdecimal())
