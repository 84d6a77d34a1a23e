"""Builds the images without a registry of images, then starts, asks and stops them."""
