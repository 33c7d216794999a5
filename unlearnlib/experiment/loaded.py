"""The models of one profile in memory: each is loaded once, and experiments of several settings share them."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import torch

from unlearnlib.core import paths
from unlearnlib.core.profiles import Profile
from unlearnlib.data.examples import Examples, encode
from unlearnlib.data.split import Split
from unlearnlib.experiment import trained
from unlearnlib.experiment.setting import ModelId
from unlearnlib.methods.path import is_open
from unlearnlib.models import loading
from unlearnlib.training import storage


class Models:
    """The models of a profile. Those that are not kept (ModelId.passing) are trained when they are needed and, where
    `borrowed` is given, let go when that is closed; without it whoever loads one keeps it."""

    def __init__(self, profile: Profile, borrowed: ExitStack | None = None, beside: "Models | None" = None):
        self.profile, self._borrowed, self._beside = profile, borrowed, beside
        self._loaded: dict[ModelId, torch.nn.Module] = {}
        self._folders: dict[ModelId, Path] = {}
        self._sets: dict[Split, dict[str, Examples]] = beside._sets if beside else {}
        self._last: tuple = (None, None)

    def borrowing(self, open_folders: ExitStack) -> "Models":
        """Return models of their own, which share the base model and let go what is not kept with `open_folders`."""
        return Models(self.profile, open_folders, self)

    @cached_property
    def base(self) -> tuple:
        """The model before fine-tuning, and its tokenizer."""
        if self._beside:
            return self._beside.base
        torch.set_num_threads(1)
        model, tokenizer = loading.load(self.profile.base_model, on=self.profile.device)
        loading.check_positions(model, self.profile.max_tokens)
        return model, tokenizer

    def sets(self, split: Split) -> dict[str, Examples]:
        """Return the sets of examples of a split as tokens (see unlearnlib.data.examples.encode)."""
        if split not in self._sets:
            folder = paths.data_folder(self.profile.data)
            self._sets[split] = encode(self.base[1], split, self.profile.max_tokens, folder)
        return self._sets[split]

    def folder(self, model: ModelId) -> Path:
        """Return the folder of a trained model (see unlearnlib.experiment.trained.folder)."""
        if self._borrowed is None or not model.passing:
            return trained.folder(self.profile, model)
        if model not in self._folders:
            self._folders[model] = self._borrowed.enter_context(trained.borrowed(self.profile, model))
        return self._folders[model]

    def get(self, model: ModelId):
        """Return a trained model, loaded once."""
        if model not in self._loaded:
            self._loaded[model] = self.new(model)
        return self._loaded[model]

    def new(self, model: ModelId, epoch: int | None = None, attention: str = "sdpa"):
        """Return a new copy of a trained model, or of what it was after an `epoch`, where that was kept."""
        return self._read(self.folder(model), epoch, attention)

    def passing(self, model: ModelId):
        """Return one of many models that are asked one after the other: it stays until another one is asked."""
        if model in self._loaded:
            return self._loaded[model]
        if self._last[0] != model:
            with trained.borrowed(self.profile, model) as folder:
                self._last = model, self._read(folder)
        return self._last[1]

    def is_changed(self) -> bool:
        """Tell whether a model is changed at the moment, by a block that is still open."""
        return any(map(is_open, self._loaded.values()))

    def _read(self, folder: Path, epoch: int | None = None, attention: str = "sdpa"):
        model, _ = loading.load(self.profile.base_model, attention, on=self.profile.device)
        storage.load_weights(model, folder, epoch)
        return model
