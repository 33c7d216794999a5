"""A second program, which checks a removal by replay: it shares the loading of models with the first, and no
training."""
