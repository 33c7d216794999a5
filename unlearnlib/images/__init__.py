"""Another kind of data: networks that classify images, in the form of the NeurIPS 2023 unlearning challenge.

An entry is a function `unlearning(net, retain, forget, validation) -> net` of a network and three loaders.
"""
