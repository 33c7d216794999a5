"""What is measured of a model, and what follows from it: no method, no experiment."""
