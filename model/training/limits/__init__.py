"""What bounds a training: time, memory, and what it takes of both."""
