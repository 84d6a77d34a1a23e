"""What tells how fresh answers are, and how much they change."""
