"""How long an event takes until answers show it: the whole system, from outside."""
