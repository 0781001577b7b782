"""Text as the API compares it."""

import unicodedata


def fold(text: str, with_accents: bool = False) -> str:
    """Without case and, in orders and searches, without accents."""
    if text.isascii() or with_accents:
        return text.casefold()
    plain = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in plain if not unicodedata.combining(letter)).casefold()
