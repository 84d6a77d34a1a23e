"""What shoppers of the simulated shop type for what they need.

A quarter of all queries are typed once, as in real logs: by wishes that few have, by
other orders of words, abbreviations and misspellings. The probabilities are chosen for
that, not measured; twice as much of any makes the tail longer.
"""

from collections.abc import Iterator
from random import Random

from freshet.shop.catalogue import Need
from freshet.shop.draws import chance, one_of
from freshet.shop.words import ABBREVIATIONS

# Of searches: the share that begins with the type alone, and that is typed again.
_BEGINS_BROAD = 0.3
_SEARCHES_AGAIN = 0.15

# Of texts: the share that names the purpose, puts the first word last, abbreviates.
_NAMES_PURPOSE = 0.06
_TURNS_WORDS = 0.06
_ABBREVIATES = 0.08

# Of texts: the share with a misspelling, with another number (plural, singular), in
# capitals.
_MISSPELLS = 0.05
_CHANGES_NUMBER = 0.04
_CAPITALISES = 0.03

# Of misspellings: the share that doubles a letter, and of the others the share that
# loses one; the rest swaps two.
_DOUBLES = 0.3
_LOSES = 0.6


def misspell(text: str, random: Random) -> str:
    """Return the text with one misspelling: a letter doubled, lost, or swapped with the
    next.
    """
    places = [
        place
        for place in range(1, len(text) - 1)
        if text[place].isalpha() and text[place + 1].isalpha()
    ]
    if not places:
        return text + text[-1:]
    place = one_of(random, places)
    if chance(random, _DOUBLES):
        return text[:place] + text[place] + text[place:]
    if chance(random, _LOSES) or text[place] == text[place + 1]:
        return text[:place] + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def searches(random: Random, need: Need) -> Iterator[tuple[str, Need]]:
    """Yield one to three searches for a need, from broad to narrow, with what each is
    for.
    """
    kind = need.product_type
    if (need.brand or need.attribute) and chance(random, _BEGINS_BROAD):
        broad = Need(kind, "", "", "")
        yield _typed(random, _words(random, broad)), broad
    yield _typed(random, _words(random, need)), need
    if chance(random, _SEARCHES_AGAIN):
        yield _typed(random, _words(random, need)), need


def _words(random: Random, need: Need) -> list[str]:
    kind = need.product_type
    words = [word for word in (need.brand.lower(), need.colour, need.attribute, kind.name) if word]
    if chance(random, _NAMES_PURPOSE):
        words.append(f"for {one_of(random, kind.department.purposes)}")
    elif chance(random, _TURNS_WORDS):
        words.append(words.pop(0))
    elif chance(random, _ABBREVIATES):
        words = [ABBREVIATIONS.get(word, word) for word in words]
    return words


def _typed(random: Random, words: list[str]) -> str:
    """Return what the fingers make of it: slips, plurals, capitals."""
    text = " ".join(words)
    if chance(random, _MISSPELLS):
        return misspell(text, random)
    if chance(random, _CHANGES_NUMBER):
        return text[:-1] if text.endswith("s") else text + "s"
    if chance(random, _CAPITALISES):
        return text.title()
    return text
