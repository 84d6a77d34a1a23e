"""Who may call, and how a connection is protected."""
