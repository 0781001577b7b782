"""Which address a page of an entity has. Pure: no IO, no secrets."""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

import msgspec

from agents.ports import Parent
from agents.records.document import LINK_CHARS_MAX
from manifests.entity import AdapterFile, Entity, OffsetPaging, is_one
from topics.errors import Rejected

BASES_REMEMBERED_MAX = 10_000
QUOTED_REMEMBERED_MAX = 10_000  # names and values in addresses; most are the same on each page
_PLAIN_LINK = re.compile(r"/[A-Za-z0-9_-][A-Za-z0-9_/-]*(\?[A-Za-z0-9_=&%-]*)?")
_BRACES = re.compile(r"\{([a-z0-9_]+)\}")
_DEFAULT_PORT = {"http": 80, "https": 443}


class PageRequest(msgspec.Struct, frozen=True):
    """A GET. `target` is the encoded path and query behind the origin; `path` is the part that errors may show.

    `is_under_parent` says that a 404 can mean that the parent is gone. The lower `rank` is sent first.
    """

    origin: str
    target: str
    is_under_parent: bool = False
    rank: int = 0

    @property
    def url(self) -> str:
        return self.origin + self.target

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def page(self) -> tuple[str, list[str]]:
        """The page by its path and its parameters, in whatever order and however encoded."""
        path, _, query = unquote(self.target).partition("?")
        return path, sorted(query.split("&"))


def page_request(
    adapter: AdapterFile,
    entity: Entity,
    org: str,
    base_url: str,
    start: int | None = 0,
    size: int | None = None,
    link: str | None = None,
    parent: Parent | None = None,
    rank: int = 0,
) -> PageRequest:
    """The request for `size` records from offset `start` on, or for the page that `link`, out of another page, names.

    `base_url` is the connection's. Only the path and query of a link are used, and only if it leads to the same
    host; Rejected otherwise, and for a parent without the column that the path names.
    """
    origin, prefix = _base(base_url)
    if link is not None and len(link) <= LINK_CHARS_MAX and _PLAIN_LINK.fullmatch(link):
        return PageRequest(origin, link, parent is not None, rank)  # a path of the same host, with nothing to encode
    path = prefix + _BRACES.sub(lambda found: _part(found[1], org, parent, entity.name), entity.path)
    if link is not None:
        return PageRequest(origin, _linked(origin + path, link), parent is not None, rank)
    query = _query(adapter, entity, start or 0, size).items()
    encoded = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in query)
    return PageRequest(origin, f"{path}?{encoded}" if encoded else path, parent is not None, rank)


def check_next(first: PageRequest, here: PageRequest, following: PageRequest) -> None:
    """Rejected if the link on page `here` leads to that page itself, or back to the first one: it would never end."""
    page = following.page
    for name, known in (("to the page that it stands on", here), ("back to the first page", first)):
        if page == known.page:
            raise Rejected(
                f"the link to the next page leads {name} ({following.path}): it is not followed, since that would "
                "never end; put right the adapter's body.next, or report it to those who run the API"
            )


@lru_cache(maxsize=BASES_REMEMBERED_MAX)
def _base(base_url: str) -> tuple[str, str]:
    """Origin and path of a connection's base URL."""
    base = urlsplit(base_url)
    return f"{base.scheme}://{base.netloc}", base.path.rstrip("/")


def _query(adapter: AdapterFile, entity: Entity, start: int, size: int | None) -> Mapping[str, str]:
    names, full = adapter.parameters, entity.reads.full
    query = dict(full.query)
    if is_one(entity):
        return query
    if full.order is not None and full.order.parameter is not None:
        query[names.order] = full.order.parameter
    query[names.size] = str(size or entity.paging.size)
    if start or isinstance(entity.paging, OffsetPaging):
        query[names.offset] = str(start)
    return query


def _part(name: str, org: str, parent: Parent | None, entity: str) -> str:
    if name == "org":
        value = org
    elif parent is None:
        raise Rejected(f"{entity}: the path names {{{name}}}, but the page is not read under a parent")
    else:
        value = parent.key if name == "id" else parent.columns.get(name, "")
    if value in ("", ".", ".."):
        place = f"the parent {parent.key!r}" if parent else "the organisation"
        raise Rejected(f"{entity}: the path names {{{name}}}, for which {place} has {value!r}")
    return _quoted(value)


@lru_cache(maxsize=QUOTED_REMEMBERED_MAX)
def _quoted(text: str) -> str:
    return quote(text, safe="")


def _linked(here: str, link: str) -> str:
    """The path and query that a link, absolute or relative, leads to from here."""
    if len(link) > LINK_CHARS_MAX:
        raise Rejected(f"the link to the next page has {len(link)} characters, at most {LINK_CHARS_MAX}")
    try:
        target = urlsplit(urljoin(here, link))
        is_same_host = target.scheme in _DEFAULT_PORT and _host(target) == _host(urlsplit(here))
    except ValueError:
        raise Rejected("the link to the next page is not an address") from None
    if not is_same_host:
        raise Rejected(
            f"the link to the next page leads to {target.scheme}://{target.hostname}, not to the connection's host: "
            "it is not followed; put right base_url in the connections file"
        )
    path = quote(target.path, safe="/%:@!$&'()*+,;=~") or "/"
    query = quote(target.query, safe="/%:@!$&'()*+,;=~?[]")
    return f"{path}?{query}" if query else path


def _host(url: SplitResult) -> tuple[str | None, int | None]:
    """A host for comparison; http and https on their own ports are one, for links from behind a proxy that ends TLS."""
    return url.hostname, None if url.port == _DEFAULT_PORT.get(url.scheme) else url.port
