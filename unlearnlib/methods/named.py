"""The methods by name: what `Variant(name, method)` finds."""

from unlearnlib.methods.adapters import negated_adapter
from unlearnlib.methods.ascent import trained_ascent
from unlearnlib.methods.bad_teacher import bad_teacher, base_teacher
from unlearnlib.methods.contrastive import partitioned_contrast
from unlearnlib.methods.dampening import selective_dampening
from unlearnlib.methods.dpo import dpo, dpo_retaining
from unlearnlib.methods.fuzzy_matching import fuzzy_ascent
from unlearnlib.methods.gradient_difference import gradient_difference
from unlearnlib.methods.harry_potter import generic_predictions
from unlearnlib.methods.iterative import in_turn, iterative_removal
from unlearnlib.methods.kl_ascent import kl_ascent
from unlearnlib.methods.knowledge_gap import knowledge_gap_alignment
from unlearnlib.methods.live import live_ascent
from unlearnlib.methods.misdirection import representation_misdirection
from unlearnlib.methods.noise import fisher_noise, noise
from unlearnlib.methods.npo import npo, npo_retaining
from unlearnlib.methods.other_answers import other_answers
from unlearnlib.methods.others import others_ascent
from unlearnlib.methods.per_point import per_point_steps
from unlearnlib.methods.preconditioned import early_preconditioned_ascent, preconditioned_ascent
from unlearnlib.methods.present import present_ascent
from unlearnlib.methods.quark import quark
from unlearnlib.methods.random_direction import random_direction, random_signs
from unlearnlib.methods.recorded import recorded_ascent
from unlearnlib.methods.repair import repaired
from unlearnlib.methods.request import Method
from unlearnlib.methods.retained_only import retained_only
from unlearnlib.methods.reverse_kl import reverse_kl_distillation
from unlearnlib.methods.saliency import saliency_unlearning
from unlearnlib.methods.scrub import scrub
from unlearnlib.methods.simnpo import simnpo, simnpo_retaining
from unlearnlib.methods.taken_back import taken_back
from unlearnlib.methods.task_arithmetic import negated_own_task_vector, negated_task_vector
from unlearnlib.methods.truncated import truncated_retraining
from unlearnlib.methods.undial import undial
from unlearnlib.methods.unlearning_layers import unlearning_layers

METHODS = {
    "recorded": Method(recorded_ascent, frozenset({"forget", "record"})),
    "preconditioned": Method(preconditioned_ascent, frozenset({"forget", "record", "second_moments"})),
    "live": Method(live_ascent, frozenset({"forget"})),
    "random": Method(random_direction, frozenset()),
    "present": Method(present_ascent, frozenset({"forget"})),
    "fuzzy": Method(fuzzy_ascent, frozenset({"forget", "retain", "texts"})),
    "iterative": Method(iterative_removal, frozenset({"forget", "known", "target", "keep"})),
    "in turn": Method(in_turn, frozenset({"forget", "known", "target", "keep"})),
    "gradient difference": Method(gradient_difference, frozenset({"forget", "retain", "keep"})),
    "repair": Method(repaired, frozenset({"forget", "retain", "record", "second_moments", "keep"})),
    "truncated retraining": Method(truncated_retraining, frozenset({"base", "retain", "log", "keep"})),
    "per point": Method(per_point_steps, frozenset({"forget", "record", "second_moments", "known", "target", "keep"})),
    "taken back": Method(taken_back, frozenset({"watched"})),
    "early preconditioned": Method(early_preconditioned_ascent, frozenset({"forget", "record", "watched"})),
    "others": Method(others_ascent, frozenset({"watched", "second_moments"})),
    "random signs": Method(random_signs, frozenset({"forget", "record", "second_moments"})),
    "trained ascent": Method(trained_ascent, frozenset({"forget", "keep"})),
    "KL ascent": Method(kl_ascent, frozenset({"forget", "retain", "keep"})),
    "NPO": Method(npo, frozenset({"forget", "keep"})),
    "NPO, retaining": Method(npo_retaining, frozenset({"forget", "retain", "keep"})),
    "SimNPO": Method(simnpo, frozenset({"forget", "keep"})),
    "SimNPO, retaining": Method(simnpo_retaining, frozenset({"forget", "retain", "keep"})),
    "retained only": Method(retained_only, frozenset({"retain", "keep"})),
    "other answers": Method(other_answers, frozenset({"forget", "retain", "keep"})),
    "DPO": Method(dpo, frozenset({"forget", "keep"})),
    "DPO, retaining": Method(dpo_retaining, frozenset({"forget", "retain", "keep"})),
    "task vector": Method(negated_task_vector, frozenset({"forget", "base", "keep"})),
    "own task vector": Method(negated_own_task_vector, frozenset({"forget", "keep"})),
    "negated adapter": Method(negated_adapter, frozenset({"forget", "base", "keep"})),
    "noise": Method(noise, frozenset()),
    "Fisher noise": Method(fisher_noise, frozenset({"retain"})),
    "dampening": Method(selective_dampening, frozenset({"forget", "retain"})),
    "saliency": Method(saliency_unlearning, frozenset({"forget", "retain", "record", "keep"})),
    "generic predictions": Method(generic_predictions, frozenset({"forget", "keep"})),
    "reverse KL": Method(reverse_kl_distillation, frozenset({"forget", "keep"})),
    "UNDIAL": Method(undial, frozenset({"forget", "keep"})),
    "bad teacher": Method(bad_teacher, frozenset({"forget", "retain", "keep"})),
    "base teacher": Method(base_teacher, frozenset({"forget", "retain", "base", "keep"})),
    "SCRUB": Method(scrub, frozenset({"forget", "retain", "keep"})),
    "misdirection": Method(representation_misdirection, frozenset({"forget", "retain", "keep"})),
    "knowledge gap": Method(knowledge_gap_alignment, frozenset({"forget", "retain", "base", "keep"})),
    "contrastive": Method(partitioned_contrast, frozenset({"forget"})),
    "unlearning layers": Method(unlearning_layers, frozenset({"forget", "retain", "keep"})),
    "Quark": Method(quark, frozenset({"forget", "retain", "keep"})),
}
