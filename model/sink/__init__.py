"""Keeps a vector database as fresh as the artifacts folder: generations and overlays
become rows of PostgreSQL with pgvector.
"""
