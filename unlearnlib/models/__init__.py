"""Loading a model and naming its parts."""
