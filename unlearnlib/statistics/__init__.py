"""Paired tests, intervals over seeds, mixed models."""
