"""What each notebook reads, for the order of a run: training jobs by kind, other notebooks by number."""

from unlearnlib.experiment.training_jobs import HALVES, LATE, ORIGINALS, REFERENCES, USUAL

# A notebook that is not named reads the usual trainings of its seeds.
NEEDS = {
    "00": (),
    "01": (),
    "03": (*USUAL, *HALVES, "left-out"),
    "06": (*USUAL, "smaller-sets"),
    "09": (*USUAL, "smaller-sets", *LATE),
    "10": ("09", *HALVES, *ORIGINALS, *REFERENCES),
    "15": ("03", "04", "05", "06", "07", "08", "09", "10"),
}
# Notebooks that have little to compute once the others have run: once over all seeds, never for one seed before.
SUMMARIES = ("02", "08", "10", "15")
