"""Keys that are read twice: within a page, in several pages of one commit, in several commits of one run. Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from agents.ports import PageWrite, RejectedRecord, RowWrite

# Both places are a page, with the parent below which it was read. The databases' statements fill them in, too.
COLLISION = (
    "the key was read twice in one run with different content: on page %s, and on page %s. The later read is kept. If "
    "they are two records, their key in the manifest is too short: add a path that differs, or key: true below a parent"
)

_REJECTED = b""  # the content of a record that is not stored


def place(page: object, parent: str | None) -> str:
    """Where a record was read, for COLLISION."""
    return f"{page} under {parent}" if parent else str(page)


def _with_one_version_each(page: PageWrite) -> PageWrite:
    """The page with one version of each key, the one with the newest source time or else the last one, and the other
    versions, set aside. Rows of one key with the same content all stay: they are one row.
    """
    newest: dict[str, RowWrite] = {}
    for row in page.rows:
        known = newest.get(row.key)
        if known is None or not _is_older(row, known):
            newest[row.key] = row
    here = place(page.page, page.parent)
    is_kept = [row.content_hash == newest[row.key].content_hash for row in page.rows]
    kept = tuple(row for row, is_one in zip(page.rows, is_kept, strict=True) if is_one)
    others = (row for row, is_one in zip(page.rows, is_kept, strict=True) if not is_one)
    set_aside = (RejectedRecord(row.key, COLLISION % (here, here), row.raw) for row in others)
    return replace(page, rows=kept, rejected=(*page.rejected, *set_aside))


def _is_older(row: RowWrite, known: RowWrite) -> bool:
    return row.updated_at is not None and known.updated_at is not None and row.updated_at < known.updated_at


def apart(pages: Iterable[PageWrite]) -> list[list[PageWrite]]:
    """The pages in their order, with one version of each key, in groups in which no key of an organisation has two
    versions, or is stored by one page and rejected by another. Each group is a transaction of its own: a page meets
    what the one before it has stored.
    """
    groups: list[list[PageWrite]] = [[]]
    contents: dict[str, dict[str, bytes]] = {}  # of the last group: by organisation and key
    for page in pages:
        own = _contents(page)
        if len(own) < len(page.rows):
            page = _with_one_version_each(page)
            own = _contents(page)
        for record in page.rejected:
            if record.key:
                own.setdefault(record.key, _REJECTED)
        known = contents.setdefault(page.run.org, {})
        if not known.keys().isdisjoint(own) and any(own[key] != known[key] for key in own.keys() & known.keys()):
            groups.append([])
            contents = {page.run.org: own}
        else:
            known.update(own)
        groups[-1].append(page)
    return groups


def _contents(page: PageWrite) -> dict[str, bytes]:
    return {row.key: row.content_hash for row in page.rows}
