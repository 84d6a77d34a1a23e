"""Where rejected records go, before their positions move on: a file beside the
store, or a topic; and the way back.
"""
