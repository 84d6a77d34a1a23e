"""The frames of a schema registry's serializers, and what is in them."""
