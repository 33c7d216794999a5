"""GPT-2's own kind of linear layer, Conv1D, whose weight is transposed: turned into the usual one, and back in a file.

Here alone is it known that there are two kinds. Everything that is given a loaded model meets torch.nn.Linear.
"""

import copy

import torch
from transformers.pytorch_utils import Conv1D


def use_linear_layers(model):
    """Put an equal torch.nn.Linear in the place of every Conv1D of a model, in place, and return the model.

    All names, modes and other modules stay as they are, a tied embedding too. What is computed is the same but for
    rounding. A turned weight is [out, in] instead of [in, out]: who saves the model for others takes own_weights.
    """
    for name, module in list(model.named_modules()):
        if type(module) is Conv1D:
            model.set_submodule(name, _linear(module))
    return model


def own_weights(model) -> dict[str, torch.Tensor]:
    """Return a model's state dict in the shapes of its own family, bitwise, for save_pretrained(state_dict=...).

    Which weights were turned is seen in the family's own architecture, built from the model's settings without memory,
    and so of a copy too. Of a model of which none was, it is the state dict. The other tensors are no copies.
    """
    with torch.device("meta"):
        family = type(model)(copy.deepcopy(model.config))
    turned = {
        f"{name}.weight"
        for name, module in family.named_modules()
        if type(module) is Conv1D and type(model.get_submodule(name)) is torch.nn.Linear
    }
    return {name: value.T.contiguous() if name in turned else value for name, value in model.state_dict().items()}


def _linear(module: Conv1D) -> torch.nn.Linear:
    linear = torch.nn.Linear(*module.weight.shape, device="meta")  # its own weights are not drawn, only replaced
    linear.weight = torch.nn.Parameter(module.weight.detach().T.contiguous(), module.weight.requires_grad)
    linear.bias = module.bias
    return linear.train(module.training)
