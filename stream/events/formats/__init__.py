"""One file a format, and the table of all of them."""
