"""Next steps that problems of several processes have."""

from typing import Final

ANOTHER_GENERATION: Final = (
    "`freshet generations list --artifacts DIR --verify` says which are whole, and `freshet "
    "generations use ID --artifacts DIR` puts one of them live; where none is, `freshet train "
    "--store STORE --artifacts DIR` makes one"
)
"""Where what is current cannot be used."""
