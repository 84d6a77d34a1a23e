"""What is erased, and that it stays so."""
