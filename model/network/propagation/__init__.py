"""How each channel propagates, a file each, and the table of them."""
