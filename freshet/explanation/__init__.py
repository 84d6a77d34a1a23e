"""Why an item answers a query, for people and for scripts: from a folder of generations
or from a server.
"""
