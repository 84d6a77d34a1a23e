"""The whole system in two minutes, told as a story."""
