"""What a durable event costs."""
