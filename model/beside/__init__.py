"""What stands beside the network's numbers of a vector."""
