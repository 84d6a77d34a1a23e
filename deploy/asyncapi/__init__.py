"""The AsyncAPI document of the topics, made of the code, and its validation."""
