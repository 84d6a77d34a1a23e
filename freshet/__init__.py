"""The `freshet` command: it wires the packages together; none of them imports it."""
