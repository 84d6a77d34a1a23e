"""What stands beside the network's dimensions of a vector once training is over, and
how much it counts: as held-out edges choose it.
"""
