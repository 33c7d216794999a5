"""The seeded generator of all texts of this repository: the fact records, the general passages, the base text.

Pure standard library. Nothing here is imported by `unlearnlib` except the base text for pretraining; the
experiments read the committed JSONL files.
"""
