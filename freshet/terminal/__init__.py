"""What every command shares at the terminal: options, output, progress."""
