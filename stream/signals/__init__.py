"""What the metrics of the stream are made of."""
