"""The traces of records: which records carry one, and how far they have come."""
