"""The table of pretrained text encoders: which package has the weights of each name.

A static encoder has a vector for each piece of a word; a text is the mean of its
pieces. Another one is one line here, if its package holds a safetensors matrix and a
byte-pair tokenizer in the format of Hugging Face's ``tokenizers``, and a line in the
extra ``text``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Where the files of an encoder are.

    Attributes:
        distribution: the package that holds them, as pip knows it.
        weights: the matrix, ``float16`` or ``float32 [num_pieces, dim]``, as
            safetensors; its path below the folder that packages are in.
        tokenizer: the tokenizer, the same.
        dim: length of its vectors.
    """

    distribution: str
    weights: str
    tokenizer: str
    dim: int


AUTO: Final = "auto"
"""As a name: the first of the table that is installed, or none."""
OFF: Final = "off"
"""As a name: none."""

ENCODERS: Final[Mapping[str, EncoderSpec]] = {
    "wordllama": EncoderSpec(
        distribution="wordllama",
        weights="wordllama/weights/l2_supercat_256.safetensors",
        tokenizer="wordllama/tokenizers/l2_supercat_tokenizer_config.json",
        dim=256,
    ),
}
