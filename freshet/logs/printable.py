"""Text that others wrote, without what a terminal would act on."""

_ACTED_ON = (
    *range(0x20),
    *range(0x7F, 0xA0),  # of which U+009B begins an escape code as ESC [ does
    *(0x2028, 0x2029),  # separators of lines
    *range(0x202A, 0x202F),  # overrides of the direction, which reorder what follows
    *range(0x2066, 0x206A),  # likewise
)

_REPLACED = dict.fromkeys(_ACTED_ON, "\N{REPLACEMENT CHARACTER}")
_ESCAPED = {code: f"\\u{code:04x}" for code in _ACTED_ON}


def printable(text: str) -> str:
    """Return a line with what a terminal would act on replaced."""
    return text.translate(_REPLACED)


def printable_json(text: str) -> str:
    """Return a line of JSON that says the same, with escapes for what a terminal would
    act on and JSON allows as it is.
    """
    return text.translate(_ESCAPED)
