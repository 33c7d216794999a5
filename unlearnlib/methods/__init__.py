"""Unlearning methods: one method, one small file."""
