"""The declarative mapping of foreign JSON: where the fields of events and items are."""
