"""Scores in, numbers out: pure functions of arrays, without files, models or global state.

What cannot be computed is nan, never 0; whoever prints it gives the reason.
"""
