"""Deciders: own a kind's state, do no IO."""
