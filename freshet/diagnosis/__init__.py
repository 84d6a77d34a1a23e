"""Asks the running processes how they are, and says what is wrong and why."""
