"""Images with labels, from where they lie, and their four parts: to retain, to forget, to choose by, to test on."""

from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch

from unlearnlib.core import paths
from unlearnlib.core.errors import UserError, nearest

DIGITS = "digits"
SIDE, CHANNELS = 32, 3  # of an image in CIFAR-10's binary files
PICTURES = ("image", "img")  # what the columns of a data set are called
LABELS = ("label", "labels", "fine_label")
KINDS = ("random", "mislabelled")
SHARE = 1 / 12  # of all images is forgotten, chosen by, and tested on: a tenth of what is trained on each
FEWEST = 24  # images: two of each of these parts


@dataclass(frozen=True)
class Pictures:
    """images float32 [n, channels, height, width], labels int64 [n] from 0 to classes - 1, and how many classes."""

    images: torch.Tensor
    labels: torch.Tensor
    classes: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def identity(self) -> str:
        """A hash of all images and labels."""
        return joblib.hash([self.images.cpu().numpy(), self.labels.cpu().numpy()])

    def at(self, rows) -> "Pictures":
        """Return some of the images, by row."""
        rows = torch.as_tensor(rows, dtype=torch.long)
        return Pictures(self.images[rows], self.labels[rows], self.classes)

    def to(self, device) -> "Pictures":
        """Return the same images where a network is."""
        return Pictures(self.images.to(device), self.labels.to(device), self.classes)

    def loader(self, batch: int, seed: int) -> torch.utils.data.DataLoader:
        """Return a loader of batches (images, labels), in an order of `seed` that is a new one every time. Where one
        image would be left, of which a batch norm makes nothing, batches have one more."""
        data = torch.utils.data.TensorDataset(self.images, self.labels)
        while len(self) > 1 and len(self) % batch == 1:
            batch += 1
        generator = torch.Generator().manual_seed(seed)
        return torch.utils.data.DataLoader(data, batch, shuffle=True, generator=generator)


def load(source: str = DIGITS) -> Pictures:
    """Return the images of a source: `digits` (scikit-learn's, 8x8, grey, inside the package), a folder, or a name on
    the hub of data sets.

    A folder holds CIFAR-10's binary files (`*.bin`: a byte for the label, 3,072 for the image), or a folder of images
    for each class. Values are from 0 to 1. UserError, with the file, for what is not so.
    """
    if source == DIGITS:
        from sklearn.datasets import load_digits  # here, because importing scikit-learn takes seconds

        known = load_digits()
        return _made((known.images / 16)[:, None], known.target, 10)
    if not source.strip():
        raise UserError(f"source is empty: give {DIGITS}, a folder, or a data set's name on the hub")
    folder = paths.ROOT / Path(source).expanduser()
    if folder.is_dir():
        binary = sorted(folder.glob("*.bin"))
        return _binary(binary) if binary else _dataset("imagefolder", source, data_dir=str(folder))
    if Path(source).is_absolute() or source.startswith((".", "~")):
        raise UserError(f"no folder {source} of images: give {DIGITS}, a folder, or a data set's name on the hub")
    return _dataset(source, source)


def _made(images, labels, classes: int) -> Pictures:
    return Pictures(
        torch.as_tensor(np.ascontiguousarray(images), dtype=torch.float32),
        torch.as_tensor(np.asarray(labels), dtype=torch.long),
        classes,
    )


def _binary(files: list[Path]) -> Pictures:
    length, rows = 1 + CHANNELS * SIDE * SIDE, []
    for file in files:
        read = np.frombuffer(file.read_bytes(), dtype=np.uint8)
        if not len(read) or len(read) % length:
            raise UserError(f"{file.name}: {len(read)} bytes are no number of records of {length} (a label, an image)")
        records = read.reshape(-1, length)
        if (records[:, 0] > 9).any():
            row = int((records[:, 0] > 9).argmax())
            raise UserError(f"{file.name}, record {row + 1}: a label of {records[row, 0]}, CIFAR-10 has 0 to 9")
        rows.append(records)
    records = np.concatenate(rows)
    return _made(records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE) / 255, records[:, 0], 10)


def _dataset(name: str, shown: str, **options) -> Pictures:
    import datasets

    try:
        parts = datasets.load_dataset(name, **options)
    except Exception as error:  # the library has many ways to say that there is nothing
        raise UserError(f"no images in {shown!r}: {str(error).splitlines()[0]}") from None
    images, labels = [], []
    for part in parts.values():
        columns = [next((one for one in known if one in part.column_names), None) for known in (PICTURES, LABELS)]
        if None in columns:
            wanted, known = ((PICTURES, LABELS)[columns.index(None)], part.column_names)
            raise UserError(f"{shown}: no column {wanted[0]!r}: {nearest(wanted[0], known)}")
        images += [_pixels(one, f"{shown}, row {row}") for row, one in enumerate(part[columns[0]], len(images) + 1)]
        labels += list(part[columns[1]])
    shapes = {one.shape for one in images}
    if len(shapes) != 1:
        raise UserError(f"{shown}: images of {len(shapes)} shapes, such as {sorted(shapes)[:2]}: make them all alike")
    for row, label in enumerate(labels, 1):
        if not isinstance(label, int) or label < 0:
            raise UserError(f"{shown}, row {row}: a label of {label!r}: give whole numbers from 0 on")
    whole = np.stack(images).astype(np.float32) / 255
    whole = whole[:, None] if whole.ndim == 3 else whole.transpose(0, 3, 1, 2)
    return _made(whole, labels, max(labels) + 1)


def _pixels(image, where: str) -> np.ndarray:
    """Return an image as bytes, grey [h, w] or of three colours [h, w, 3]; UserError for one of other numbers."""
    plain = {"1": "L", "LA": "L", "L": "L", "P": "RGB", "RGBA": "RGB", "CMYK": "RGB", "RGB": "RGB"}
    if image.mode not in plain:
        raise UserError(f"{where}: an image of mode {image.mode}: save it with a byte for each colour")
    return np.asarray(image.convert(plain[image.mode]))


@dataclass(frozen=True)
class Parts:
    """The parts of a set of images: trained on are retain and forget; validation is what a method may choose by, test
    what it is asked at the end; `unseen` and `compared` are the images of these two, labelled in the way of the forget
    set: a level that nothing was trained to reach, and what an attack tells the forget set from. `truth` holds the true
    labels of the forget set, int64 [n]."""

    retain: Pictures
    forget: Pictures
    validation: Pictures
    test: Pictures
    unseen: Pictures
    compared: Pictures
    truth: torch.Tensor


def parted(pictures: Pictures, seed: int, kind: str = "random", wrong: float = 1.0) -> Parts:
    """Return the four parts, in the proportions of the challenge's starting kit: as many to forget, to choose by and to
    test on, each a tenth of what is trained on; drawn by `seed`, with the shares of classes of the whole.

    kind: `random`; or `mislabelled`: the same images, of which the share `wrong` has another class drawn at random for
    its label before training, so that there is something to take back. UserError for another kind, and for too few.
    """
    if kind not in KINDS:
        raise UserError(f"no kind {kind!r} of images to forget: {nearest(kind, KINDS)}")
    if len(pictures) < FEWEST:
        raise UserError(f"{len(pictures)} images: give {FEWEST} at least, of which two are forgotten")
    if pictures.classes < 2:
        raise UserError("all images have one label: give two classes at least")
    if not isinstance(wrong, (int, float)) or not 0 < wrong <= 1:
        raise UserError(f"wrong is {wrong!r}: give the share of wrong labels, above 0 and up to 1")
    generator = np.random.default_rng(seed)
    order = _spread(pictures.labels.numpy(), generator)
    count = round(SHARE * len(pictures))
    forget, validation, test, retain = np.split(order, [count, 2 * count, 3 * count])
    parts = [pictures.at(np.sort(rows)) for rows in (retain, forget, validation, test)]
    truth, alike = parts[1].labels, parts[2:]
    if kind == "mislabelled":
        parts[1], *alike = (_mislabelled(one, wrong, generator) for one in parts[1:])
    return Parts(*parts, *alike, truth)


def trained_on(parts: Parts) -> Pictures:
    """Return what the network that is to forget was trained on: the retained images, then those to forget."""
    one, other = parts.retain, parts.forget
    joined = (torch.cat(pair) for pair in ((one.images, other.images), (one.labels, other.labels)))
    return Pictures(*joined, one.classes)


def _spread(labels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return all rows in a random order in which every stretch has the classes in about the shares of the whole."""
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        place[rows] = (np.arange(len(rows)) + generator.random()) / len(rows)
    return np.argsort(place, kind="stable")


def _mislabelled(pictures: Pictures, wrong: float, generator: np.random.Generator) -> Pictures:
    rows = torch.as_tensor(generator.permutation(len(pictures))[: max(1, round(wrong * len(pictures)))])
    shift = torch.as_tensor(generator.integers(1, pictures.classes, len(rows)))
    labels = pictures.labels.clone()
    labels[rows] = (labels[rows] + shift) % pictures.classes
    return Pictures(pictures.images, labels, pictures.classes)
