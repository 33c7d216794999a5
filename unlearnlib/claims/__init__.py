"""The paper's claims, what would show each, and the verdicts."""
