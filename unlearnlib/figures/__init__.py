"""Figures: a tidy table in, a matplotlib figure out.

Every name has one colour and one marker in all figures (LOOKS). Points and lines are means of the seed means; bars and
bands are 95% t-intervals over seeds, and are left out where there is one seed. The retrained model, which never saw the
forget set, is in each figure as the reference.
"""
