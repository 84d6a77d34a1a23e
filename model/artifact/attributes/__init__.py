"""What filters may ask of a generation's items, as mapped arrays."""
