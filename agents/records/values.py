"""Conversion of a record's values to column types, and checks of what databases can store. Pure; runs for every value.

A value that does not fit raises InvalidValue; nothing is rounded, cut or guessed.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from itertools import chain
from reprlib import Repr
from typing import Any

import msgspec

from manifests.entity import FieldType
from topics.errors import SHOWN_CHARS_MAX, Retryable

KEPT_CHARS_MAX = 16_000  # of a rejected record's text; the rest is cut off
INTEGER_MAX = 2**63 - 1
CONVERTER_VERSION = 1  # raised when a value is converted to something else than before: all rows are written anew
FLOAT_INTEGER_MAX = 2**53  # up to here each whole float is one integer
NESTING_MAX = 100  # levels of a record; a deeper one is rejected
DIGITS_MAX = 400  # of an integer that is kept as it is; a longer one is an UnrepresentableNumber

_INTEGER = re.compile(r"-?[0-9]{1,19}")
_NUMBER = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,4})?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INFINITY = float("inf")
_DATE_LENGTH = len("2026-01-05")
_MIDNIGHT = datetime.min.time()
_NUL_ESCAPE = b"\\u0000"
_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 60
_repr.maxlevel = 2
_decode = msgspec.json.Decoder().decode
encode = msgspec.json.Encoder(order="deterministic").encode


class InvalidValue(Exception):
    """The value, or its record, cannot be stored as asked; the text says why and shows it, shortened."""


class UnrepresentableNumber(str):
    """A number as it was written, which no reader of JSON can be trusted to hold."""

    __slots__ = ()


def shown(value: Any) -> str:
    """A value for a sentence: printable, one line, shortened."""
    return _repr.repr(value)[:SHOWN_CHARS_MAX]


def parse(body: bytes) -> tuple[Any, bool]:
    """The document, and whether it may hold what a database cannot: then each record is checked value by value.

    One bad number, one lone surrogate or one wrong byte must cost one record, not the page: where the fast parser
    refuses, a tolerant one reads on. Retryable if the body is not JSON at all.
    """
    try:
        return _decode(body), _NUL_ESCAPE in body
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return parse_tolerantly(body), True


def parse_tolerantly(body: bytes) -> Any:
    """The document, with what no reader of JSON can be trusted to hold as UnrepresentableNumber or lone surrogates."""
    try:
        text = body.decode("utf-8-sig", "surrogateescape")
        return json.loads(
            text, parse_int=_parse_integer, parse_float=_parse_float, parse_constant=UnrepresentableNumber
        )
    except RecursionError:
        raise Retryable("the answer is nested too deeply to be read") from None
    except ValueError as error:
        raise Retryable(f"the answer is not JSON ({error}): it starts with {start(body)}") from None


def _parse_integer(text: str) -> int | UnrepresentableNumber:
    return int(text) if len(text) <= DIGITS_MAX else UnrepresentableNumber(text)


def _parse_float(text: str) -> float | UnrepresentableNumber:
    value = float(text)
    return value if abs(value) != _INFINITY else UnrepresentableNumber(text)


def start(body: bytes) -> str:
    """The first characters of a body, for a sentence."""
    return repr(body[:SHOWN_CHARS_MAX].decode(errors="replace"))


def check_storable(value: Any) -> None:
    """InvalidValue if it holds, however deep, what PostgreSQL or SQLite would refuse or change."""
    left: list[Any] = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            left.extend(chain(item.keys(), item.values()))
        elif isinstance(item, list):
            left.extend(item)
        elif isinstance(item, str):
            _check_text(item)


def check_nesting(record: Any) -> None:
    """InvalidValue if the record has more levels than NESTING_MAX."""
    level: list[Any] = [record]
    for _ in range(NESTING_MAX):
        inner = chain.from_iterable(one.values() if isinstance(one, dict) else one for one in level)
        level = [one for one in inner if isinstance(one, dict | list)]
        if not level:
            return
    raise InvalidValue(f"the record is nested more than {NESTING_MAX} levels deep")


def _check_text(text: str) -> None:
    if isinstance(text, UnrepresentableNumber):
        raise InvalidValue(f"the record holds a number out of range ({shown(str(text))})")
    if "\0" in text:
        raise InvalidValue(f"the record holds a NUL character ({shown(text)})")
    if _SURROGATE.search(text):
        raise InvalidValue(f"the record holds text that is not Unicode ({shown(text)})")


def storable_text(record: Any) -> str:
    """The record as JSON text without anything that a text column refuses, cut at KEPT_CHARS_MAX."""
    try:
        text = encode(record).decode()
    except (UnicodeEncodeError, TypeError):  # lone surrogates are escaped, unrepresentable numbers become text
        text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    if len(text) <= KEPT_CHARS_MAX:
        return text
    return f"{text[:KEPT_CHARS_MAX]}… (cut: {len(text)} characters)"


def _text(value: Any) -> str:
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    raise InvalidValue("not text")


def _integer(value: Any) -> int:
    is_digits = type(value) is str and _INTEGER.fullmatch(value)
    if is_digits or (type(value) is float and abs(value) <= FLOAT_INTEGER_MAX and value.is_integer()):
        value = int(value)
    if type(value) is not int:
        raise InvalidValue("not a whole number")
    if not -INTEGER_MAX - 1 <= value <= INTEGER_MAX:
        raise InvalidValue("beyond 64 bits")
    return value


def _number(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is not int and not (type(value) is str and _NUMBER.fullmatch(value)):
        raise InvalidValue("not a number")
    try:
        number = float(value)
    except OverflowError:
        number = _INFINITY
    if abs(number) == _INFINITY:
        raise InvalidValue("out of range")
    return number


def _boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise InvalidValue("neither true nor false")
    return value


def _timestamp(value: Any) -> datetime:
    """RFC 3339 with a zone; a bare date is its midnight in UTC."""
    if type(value) is str and len(value) == _DATE_LENGTH:
        return datetime.combine(_date(value), _MIDNIGHT, UTC)
    try:
        moment = msgspec.convert(value, datetime)
        if moment.tzinfo is None:
            raise InvalidValue("a timestamp without a time zone")
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):
        raise InvalidValue("not a timestamp (RFC 3339)") from None


def _date(value: Any) -> date:
    try:
        return msgspec.convert(value, date)
    except msgspec.ValidationError:
        raise InvalidValue("not a date (YYYY-MM-DD)") from None


def _json(value: Any) -> str:
    return encode(value).decode()


CONVERT: dict[FieldType, Callable[[Any], object]] = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date": _date,
    "json": _json,
}
