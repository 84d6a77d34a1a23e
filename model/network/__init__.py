"""The dual-channel network and its propagation."""
