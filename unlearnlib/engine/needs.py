"""What each notebook reads, for the order of a run: models by kind, other notebooks by number."""

from unlearnlib.experiment.jobs import LATE, USUAL

# A notebook that is not named reads the usual trainings of its seeds.
NEEDS = {
    "01": (),
    "03": (*USUAL, "halves", "left-out"),
    "06": (*USUAL, "smaller-sets"),
    "09": (*USUAL, "smaller-sets", *LATE),
    "10": ("09", "halves", "originals", "references"),
    "17": (),
    "19": (*USUAL, "smaller-sets"),
    "20": (),
    "13": (),
    "25": (),
    "26": ("11", "16"),
    "23": (*USUAL, "smaller-sets"),
    "15": ("04", "05", "06", "07", "08", "09", "10", "12", "16", "21"),
}
# Notebooks that say of a table that it is missing, and go on: where a profile names its notebooks, they read of those
# alone.
WITHOUT = ("15",)
# Notebooks that have little to compute once the others have run, or whose long parts are about the first of the seeds
# (14): once over all seeds, never for a few before.
SUMMARIES = ("02", "08", "10", "14", "15", "17", "26")
# The others are run for so many seeds at a time, side by side: a run takes a quarter of a minute to start and draw. Of
# three seeds or more there are two groups at least.
TOGETHER = 3
