"""Random deliveries of a case, and the laws that must hold after any of them."""
