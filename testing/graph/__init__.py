"""Facts, edges, folding and erasing in plain Python, to compare the graph with."""
