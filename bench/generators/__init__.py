"""Load generators in Go, for what Python would take half of the machine to make."""
