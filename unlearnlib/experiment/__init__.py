"""One seed: each model trained once, each table computed once."""
