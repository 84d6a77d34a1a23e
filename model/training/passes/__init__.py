"""The passes of a training: where they stand, when they end, and what their end
chooses.
"""
