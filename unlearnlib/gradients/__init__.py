"""Exact gradients of single texts: captured, computed, recorded."""
