"""The refresher: keeps an overlay over the live generation fresh; no torch."""
