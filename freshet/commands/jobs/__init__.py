"""By hand: what is done once, when somebody asks for it."""
