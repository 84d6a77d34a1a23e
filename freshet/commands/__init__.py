"""The commands, as `freshet --help` lists them: one file a command."""
