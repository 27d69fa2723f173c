"""Replay of a discovery campaign on crystals whose answers are known, strategy beside strategy.

Answers are hidden, a strategy chooses a batch, the batch is revealed, the model learns, and so on:
what a choice would have been worth is measured before anything is spent on it.
"""
