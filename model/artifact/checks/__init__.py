"""Whether a generation is what its manifest says, and what answers rely on."""
