"""The JSON door: the contract over plain HTTP, behind the same doors as gRPC."""
