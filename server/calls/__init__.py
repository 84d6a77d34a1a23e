"""What every call passes before it is answered, and what is counted of it."""
