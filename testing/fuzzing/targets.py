"""Everything that is fuzzed."""

from testing.fuzzing import artifacts, events, stores

TARGETS = {target.name: target for target in (*events.TARGETS, *stores.TARGETS, *artifacts.TARGETS)}
"""Each target by its name."""
