"""Frozen pretrained text encoders, read from installed packages."""
