"""What becomes of single characters in the normal form of a text: which nobody sees,
which separate words, which joiners show.
"""

import re
import unicodedata

ZWNJ, ZWJ = "\u200c", "\u200d"
"""Zero width non-joiner and joiner: whether they show depends on their neighbours."""

# Format characters (Cf) that show: they enclose digits, or mark a verse.
_SEEN = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD}
# Invisible characters of other categories: combining grapheme joiner, Hangul fillers,
# Khmer inherent vowels, Mongolian and general variation selectors; then what Unicode
# reserves for invisible ones.
_UNSEEN = {
    *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065),
    *(0x3164, 0xFFA0),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0xE0000, 0xE1000),
}
# Looks like a space and is none to Unicode.
_BRAILLE_BLANK = 0x2800
# Unicode's canonical combining class of the signs that take a consonant's vowel away.
_VIRAMA = 9


# What tables remember: the plane with nearly all letters of living languages, some 5 MB
# a table when all of it was met. Others are looked up each time they are met: twice as
# many would be for what hardly anybody writes, and for whoever sends all there are.
_REMEMBERED = 1 << 16


class _Invisible(dict[int, int | None]):
    """A `str.translate` table that takes invisible characters away, but for joiners;
    filled as characters are met.
    """

    def __missing__(self, code: int) -> int | None:
        is_format = unicodedata.category(chr(code)) == "Cf" and code not in _SEEN
        gone = code in _UNSEEN or (is_format and chr(code) not in (ZWNJ, ZWJ))
        found = None if gone else code
        if code < _REMEMBERED:
            self[code] = found
        return found


class _Plain(dict[int, int]):
    """A `str.translate` table, filled as characters are met: what separates words
    becomes a space, and a decimal digit of any script the digit of ASCII.
    """

    def __missing__(self, code: int) -> int:
        character = chr(code)
        category = unicodedata.category(character)
        found = code
        if category[0] in "PZ" or category == "Cc" or code == _BRAILLE_BLANK:
            found = ord(" ")
        elif category == "Nd":
            found = ord("0") + unicodedata.decimal(character)
        if code < _REMEMBERED:
            self[code] = found
        return found


INVISIBLE = _Invisible()
"""Takes away what nobody sees, but for joiners."""
PLAIN = _Plain()
"""Turns separators into spaces and digits into those of ASCII."""


def without_idle_joiners(text: str) -> str:
    """Return a text without the joiners and non-joiners that do not show; separators
    are spaces.

    Of several in a row only the first can. It stays

    - beside a virama, where it decides between a conjunct, a half form and a visible
      virama;
    - as a non-joiner between two letters of the Arabic script that would join: the
      first has an initial or medial form, the second a medial or final one; vowel signs
      do not count;
    - as a joiner between two symbols (So), as in emoji of several; skin tones do not
      count.
    """
    kept: list[str] = []
    for place, character in enumerate(text):
        if character not in (ZWNJ, ZWJ):
            kept.append(character)
        elif kept and kept[-1] not in (ZWNJ, ZWJ, " "):
            after = text[place + 1 :].lstrip(ZWNJ + ZWJ)[:1]
            if _shows(character, kept, after):
                kept.append(character)
    return "".join(kept)


def _shows(joiner: str, before: list[str], after: str) -> bool:
    if any(unicodedata.combining(each) == _VIRAMA for each in (before[-1], *after)):
        return True
    if joiner == ZWNJ:
        letter = next((each for each in reversed(before) if not unicodedata.combining(each)), "")
        return letter in _JOINS_NEXT and after in _JOINS_LAST
    symbol = next((each for each in reversed(before) if unicodedata.category(each) != "Sk"), "")
    return all(each and unicodedata.category(each) == "So" for each in (symbol, after))


def _arabic_letters(forms: tuple[str, ...]) -> frozenset[str]:
    """Return the letters of which Unicode has such presentation forms."""
    decompositions = (unicodedata.decomposition(chr(code)) for code in _PRESENTATION_FORMS)
    found = filter(None, map(_ONE_LETTER.fullmatch, decompositions))
    return frozenset(chr(int(each[2], 16)) for each in found if each[1] in forms)


# Arabic presentation forms A and B.
_PRESENTATION_FORMS = range(0xFB50, 0xFF00)
_ONE_LETTER = re.compile("(<[a-z]+>) ([0-9A-F]+)")
_JOINS_NEXT = _arabic_letters(("<initial>", "<medial>"))
_JOINS_LAST = _arabic_letters(("<medial>", "<final>"))
