"""How a broker is reached: TLS, passwords and tokens, and why it could not be."""
