"""What a server holds beside its generation: the overlay, and what is hidden by it."""
