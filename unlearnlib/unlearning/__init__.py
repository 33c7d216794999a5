"""Unlearning methods: one method, one small file, one signature.

A method is a function `method(task, layers, **options) -> Path`. A Path maps a step size to the change of the
parameters, a dict from parameter name to tensor; the step size is the L2 norm of that change (for a live method, the
length of the way walked). No method evaluates itself, and none changes the model in `task`.
"""
