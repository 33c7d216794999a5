"""Deterministic training, its log, and exact replay."""
