"""Influence scores and their ground truth."""
