"""The pure rules of the graph: facts, sessions, edges, folding, arrays. No I/O."""
