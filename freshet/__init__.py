"""The `freshet` command: wires the rooms together; no room imports it."""
