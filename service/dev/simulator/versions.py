"""Versions of the API: which one a request is processed as. All documents are those of the newest one."""

from bisect import bisect_right

VERSIONS: dict[bytes, tuple[bytes, ...]] = {
    b"people": (
        b"2018-08-01", b"2019-01-14", b"2019-10-10", b"2020-04-06", b"2020-07-22", b"2021-08-17", b"2022-01-05",
        b"2022-01-28", b"2022-07-14", b"2023-02-15", b"2023-03-21", b"2024-09-12", b"2025-03-20", b"2025-07-02",
        b"2025-07-17", b"2025-11-10",
    ),
    b"groups": (b"2018-08-01", b"2023-07-10"),
    b"giving": (b"2018-08-01", b"2019-10-18"),
    b"check-ins": (b"2018-08-01", b"2019-07-17", b"2023-04-05", b"2024-09-03", b"2024-11-07", b"2025-05-28"),
    b"services": (b"2018-08-01", b"2018-11-01"),
    b"calendar": (b"2018-08-01", b"2020-04-08", b"2021-07-20", b"2022-07-07"),
}  # fmt: skip
LATEST = b"LATEST"
_DATE_LENGTH = len("2018-08-01")


def processed_as(product: str, asked: bytes) -> bytes | None:
    """The newest version of a product that is not newer than what was asked for; the newest of all for nothing, which
    stands for the default of the token's application, for LATEST, and for an unknown product. None: there is none."""
    known = VERSIONS.get(product.replace("_", "-").encode(), (b"",))
    if not asked or asked.upper() == LATEST:
        return known[-1]
    if len(asked) != _DATE_LENGTH or not asked.replace(b"-", b"").isdigit() or asked < VERSIONS[b"people"][0]:
        return None
    return known[max(bisect_right(known, asked) - 1, 0)]
