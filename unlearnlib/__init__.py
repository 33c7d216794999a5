"""Mechanics of the unlearning experiments: recorded gradients, unlearning, evaluation, statistics."""

import warnings

# transformers and datasets look for widgets to draw their progress bars with, and tqdm warns in every notebook that
# there are none. Nothing here needs them: the bars of this package are plain text.
warnings.filterwarnings("ignore", message="IProgress not found")
