"""The client's own copy of the retrieval contract, generated from
``protos/retrieval_v1.proto``.
"""
