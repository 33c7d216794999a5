"""The README's results table comes from the committed tables, and from nothing else."""

import itertools
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from unlearnlib.claims import judging, readme
from unlearnlib.core import paths, profiles
from unlearnlib.core.errors import UserError
from unlearnlib.experiment import other_data, practical, setting, study
from unlearnlib.figures import looks, unlearning
from unlearnlib.guarantees import promises
from unlearnlib.statistics.paired import holm, paired_t_test
from unlearnlib.statistics.seeds import geometric_over_seeds

MEASURED = ("09_distances", "09_utility")  # distances to the retrained model; next-token accuracy


def test_the_readme_equals_the_committed_tables():
    if not (paths.ROOT / "results" / "05_layers.csv").is_file():
        pytest.fail("results/ holds no tables: run ./run_all.sh --publish")
    text = (paths.ROOT / "README.md").read_text()
    assert readme.readme_with_tables(text, paths.ROOT / "results") == text


METHODS = [  # method, layers, step, reached in seed 1
    ("finetuned", None, None, None),
    ("retrained", None, None, None),
    ("first epoch", "all", 2.0, True),
    ("first epoch", "last_blocks", 9.0, False),
]
VALUES = {  # of the fine-tuned model; that of each next method is halved, or four times as large
    ("forget", "answer_probability"): 0.96,
    ("forget", "cloze_hit"): 0.9,
    ("paraphrase", "answer_probability"): 0.7,
    ("retain", "answer_probability"): 0.8,
    ("retain", "cloze_hit"): 0.64,
    ("heldout", "answer_probability"): 0.24,
    ("retain", "perplexity"): 40.0,
    ("general", "perplexity"): 2.0,
}
SPREAD = {0: 0.99, 1: 1.01}


def distances(forget=30, retain=90) -> pd.DataFrame:
    """A table of distances in which the preconditioned step is nearest and the last two blocks are furthest."""
    found = [
        (seed, method, layers, of, kl, n)
        for seed in (0, 1)
        for method, layers, kl in (
            ("finetuned", None, 0.5),
            ("retrained again", None, 0.25),
            ("base", None, 99.0),
            ("preconditioned", "all", 1.0 + seed),
            ("embedding", "embedding", 3.0),
            ("last two blocks", "last_blocks", 7.0),
        )
        for of, n in (("forget", forget), ("retain", retain))
    ]
    return pd.DataFrame(found, columns=["seed", "method", "layers", "set", "kl", "n"])


def write_results(folder) -> None:
    """The tables of a run of two seeds, of which 04 lacks the blocks and 05 their held-out points."""
    rows = [
        ("small", seed, method, layers, step, *which, value * factor * SPREAD[seed], reached if seed else step and True)
        for seed in SPREAD
        for number, (method, layers, step, reached) in enumerate(METHODS)
        for which, value in VALUES.items()
        for factor in (4.0**number if which[1] == "perplexity" else 0.5**number,)
    ]
    columns = ["profile", "seed", "method", "layers", "step_size", "set", "metric", "value", "reached"]
    table = pd.DataFrame(rows, columns=columns)
    blocks = table["layers"] == "last_blocks"
    table[~(blocks & (table["set"] == "heldout"))].to_csv(folder / "05_layers.csv", index=False)
    table[~blocks].to_csv(folder / "04_equal_forgetting.csv", index=False)
    distances().to_csv(folder / "09_distances.csv", index=False)


def cells(table: str, start: str) -> dict[str, str]:
    """One row of a markdown table by its headings."""
    split = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("|")
    ]
    row = next(row for row in split if row[0].startswith(start))
    return dict(zip(split[0], row, strict=True))


def test_the_table_says_what_its_rows_say_and_marks_the_unreached(tmp_path):
    write_results(tmp_path)
    table = readme.results_table(tmp_path)
    retrained, first = cells(table, "**retrained without Dave"), cells(table, "first-epoch gradients, whole model")
    assert retrained["Dave: answer probability"] == "0.48 ± 0.06" and retrained["step norm"] == ""
    assert first["Dave: answer probability"].startswith("0.24") and first["step norm"] == "2.00"
    assert any("last two blocks (target reached in 50% of seeds)" in line for line in table.splitlines())


def test_the_table_has_what_the_neighbours_and_the_held_out_points_lost(tmp_path):
    write_results(tmp_path)
    table = readme.results_table(tmp_path)
    first, blocks = (cells(table, f"first-epoch gradients, {of}") for of in ("whole model", "last two blocks"))
    assert first["neighbours: answer probability"].startswith("0.20 ± ")
    assert first["neighbours: cloze hits"].startswith("0.16 ± ")
    assert first["held-out points: answer probability"].startswith("0.06 ± ")
    # The geometric mean over seeds, with as few digits as anybody reads.
    assert first["neighbours: perplexity"].startswith("640 (") and first["general text: perplexity"].startswith(
        "32.0 ("
    )
    assert blocks["held-out points: answer probability"] == "" and blocks["neighbours: cloze hits"].startswith("0.08")
    assert "An empty cell: the answer probability was not asked there (held-out points)." in table


def test_below_the_table_stand_the_share_to_be_forgotten_and_the_distances(tmp_path):
    write_results(tmp_path)
    text = readme.results_table(tmp_path)
    assert "To be forgotten are 30 of the 120 fine-tuning texts, 25% of them" in text
    assert "nothing forgotten: 0.50; the methods here: 1.50 (first-epoch gradients, preconditioned) to 7.00 (" in text
    assert "last two blocks); a second retrained model: 0.25." in text, "the base model is no method"
    assert "10 of the 40 fine-tuning texts, 25%" in readme.forget_share(distances(10, 30))
    walked = distances().query("method == 'embedding'").assign(method="in turn", kl=50.0)
    line = readme.distance_to_retrained(pd.concat([distances(), walked], ignore_index=True).fillna({"layers": ""}))
    assert "to 50.00 (each point in turn, embedding alone" in line, "not the step in the same layers"
    uneven = distances().assign(n=lambda table: table["n"] + table["seed"])
    with pytest.raises(UserError, match="as large in every seed"):
        readme.forget_share(uneven)
    with pytest.raises(UserError, match="retrained again"):
        readme.distance_to_retrained(distances().query("method != 'retrained again'").fillna({"layers": ""}))


def test_the_committed_share_is_that_of_the_split():
    table = pd.read_csv(paths.ROOT / "results" / "09_distances.csv")
    split = setting.split_of(profiles.load("small"), 0)
    forget, whole = len(split.forget), len(split.forget) + len(split.retain)
    assert f" {forget} of the {whole} fine-tuning texts, {forget / whole:.0%} " in readme.forget_share(table)


def test_what_the_readme_says_of_the_distances_holds_in_every_seed():
    table = pd.read_csv(paths.ROOT / "results" / "09_distances.csv").query("set == 'forget'")
    kl = table.pivot(index="seed", columns="method", values="kl")
    methods = kl.drop(columns=["finetuned", "retrained again", "base"])
    assert len(methods.columns) == len([way for way in readme.NAMES if way[1]])
    assert methods.gt(kl["finetuned"], axis=0).all(axis=None)
    assert kl["retrained again"].lt(kl["finetuned"]).all()
    test = paired_t_test(kl["finetuned"], kl["preconditioned"])
    interval = f"interval {test.low:.2f} to {test.high:.2f}"
    said = f"the preconditioned step at {kl['preconditioned'].mean():.1f} ({test.mean:.2f} further, {interval})"
    assert said in " ".join((paths.ROOT / "README.md").read_text().split())


def test_what_the_readme_says_of_the_points_in_turn_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    kl = pd.read_csv(results / "09_distances.csv").groupby(["set", "method"])["kl"].mean()
    assert kl["forget"].idxmax() == "in turn"
    useful = pd.read_csv(results / "09_utility.csv").groupby("method")["utility"].mean()
    ways = useful.drop(["finetuned", "retrained", "retrained again", "base"])
    assert ways.idxmax() == "in turn"
    equal = pd.read_csv(results / "04_equal_forgetting.csv").query("set == 'retain'")
    left = equal.groupby(["metric", "method"])["value"].mean()
    said = [
        f"on each point in turn {left['answer_probability', 'in turn']:.2f}, with completions of "
        f"{left['cloze_hit', 'in turn']:.0%} to the preconditioned step's {left['cloze_hit', 'preconditioned']:.0%}",
        f"utility of all ({ways.max():.2f}, retrained {useful['retrained']:.2f}; notebook 09)",
        f"at {kl['forget', 'in turn']:.0f} nats a token, and on the neighbours' at {kl['retain', 'in turn']:.1f} "
        f"(preconditioned {kl['retain', 'preconditioned']:.1f})",
        f"the others at {kl['forget'].drop(['finetuned', 'retrained again', 'base', 'preconditioned']).min():.0f} to "
        f"{kl['forget', 'in turn']:.0f}.",
    ]
    assert [one for one in said if one not in text] == []


def test_what_the_readme_says_of_first_and_all_epochs_is_in_the_tables():
    results = paths.ROOT / "results"
    equal, kl, utility = (pd.read_csv(results / f"{name}.csv") for name in ("04_equal_forgetting", *MEASURED))
    measures = {  # column `value` of one row a seed and method; whether more is better
        **{
            (of, metric): (equal[(equal["set"] == of) & (equal["metric"] == metric)], metric != "perplexity")
            for of, metric in (
                ("retain", "answer_probability"),
                ("retain", "cloze_hit"),
                ("retain", "perplexity"),
                ("general", "perplexity"),
            )
        },
        **{(of, "kl"): (kl[kl["set"] == of].assign(value=kl["kl"]), False) for of in ("forget", "retain", "general")},
        ("general", "next token"): (utility.assign(value=utility["next_token_accuracy"]), True),
    }
    tests = []
    for (_, metric), (table, more) in measures.items():
        wide = table.pivot(index="seed", columns="method", values="value")[["all epochs", "first epoch"]]
        wide = np.log(wide) if metric == "perplexity" else wide
        test = paired_t_test(wide["all epochs"], wide["first epoch"])
        tests.append((test.p, (test.mean > 0) == more))
    found = [p for p, favours_first in tests if favours_first and p < 0.05]
    least = holm([p for p, _ in tests]).min()
    assert len(tests) == 8 and len(found) == 6
    corrected = f"none of the eight after Holm's correction over these (smallest p {least:.2f};"
    said = f"p {min(found):.3f} to {max(found):.2f}), {corrected}"
    assert said in " ".join((paths.ROOT / "README.md").read_text().split())


def test_the_influence_table_has_a_column_for_every_truth(tmp_path):
    table = pd.DataFrame(
        [("small", score, truth, 0.5, 0.25, 0.75, 3.0) for score in ("TracIn", "same point") for truth in ("a", "b")],
        columns=["profile", "score", "truth", "estimate", "low", "high", "seconds"],
    )
    table.iloc[:3].to_csv(tmp_path / "03_agreement.csv", index=False)
    lines = readme.influence_table(tmp_path).splitlines()
    assert lines[0] == "| score | a | b | seconds |"
    assert lines[2] == "| TracIn | 0.50 (0.25 to 0.75) | 0.50 (0.25 to 0.75) | 3.0 |"
    assert lines[3] == "| same point | 0.50 (0.25 to 0.75) |  | 3.0 |", "not every score has every truth"


def test_the_real_model_has_a_column_where_its_tables_are(tmp_path):
    """The default's own tables in its place: what all tables can judge has the word of notebook 15 in this one
    configuration, what notebook 16 alone has is judged by that, and all else was not run."""
    results, real = paths.ROOT / "results", tmp_path / readme.REAL
    for name in (readme.WIDER, readme.REAL):
        (tmp_path / name).mkdir()
    shutil.copy(results / "15_criteria.csv", tmp_path)
    shutil.copy(results / readme.WIDER / "16_measures.csv", tmp_path / readme.WIDER)
    for name in ("05_storage", "16_measures"):
        shutil.copy(results / f"{name}.csv", real)
    text = readme.verdicts_table(tmp_path)
    head, _, *rows = text.split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in (head, *rows)]
    place = cells[0].index("profile `smollm2`")
    said = {row[0]: row[place] for row in cells[1:]}
    own = pd.read_csv(tmp_path / "15_criteria.csv").groupby("claim")["verdict"].first()
    assert said["C4"] == own["C4"] and said["C5"] == "not run"
    asked = judging.judge_configurations(real).query("configuration == 'as it is'").groupby("claim")["verdict"].first()
    assert {claim: word.split(", by")[0] for claim, word in said.items() if claim in asked.index} == asked.to_dict()
    assert said["C3"].endswith(", by 2 of 3 criteria") and said["C8"].endswith(", by 2 of 6 criteria")
    shutil.copy(results / "05_falls.csv", real)  # the third criterion, in a table of another notebook
    assert readme.words_of(readme.judged_in(real))["C3"] == own["C3"] == "depends"
    table = pd.read_csv(results / "08_tests.csv")
    table[table["metric"] == "answer_probability"].to_csv(real / "08_tests.csv", index=False)
    assert "| no word: 2 of 6 criteria |" in readme.verdicts_table(tmp_path)
    shutil.rmtree(real)
    assert "smollm2" not in readme.verdicts_table(tmp_path)


def test_what_turns_in_the_real_model_stands_beside_and_what_is_open_is_counted(tmp_path):
    """The default's own measures in its place, with the worse way called the better one and three seeds of five."""
    results, real = paths.ROOT / "results", tmp_path / readme.REAL
    assert readme.real_model_table(tmp_path) == "Profile `smollm2` has not been run."
    real.mkdir()
    shutil.copy(results / "15_criteria.csv", tmp_path)
    table = pd.read_csv(results / "16_measures.csv").query("configuration == 'as it is' and seed < 3")
    pair = ("first epoch, whole model, plain", "first epoch, embedding, plain")
    names = {**dict(zip(pair, reversed(pair), strict=True))}
    table.assign(method=table["method"].replace(names)).to_csv(real / "16_measures.csv", index=False)
    text = readme.real_model_table(tmp_path)
    head, _, *rows, empty, last = text.splitlines()
    assert head == "| claim | criterion | `small`, 5 seeds | `smollm2`, 3 seeds |" and not empty
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    assert any(cell[2].startswith("*holds*") and cell[3].startswith("*contradicted*") for cell in cells)
    own = pd.read_csv(tmp_path / "15_criteria.csv").set_index(["claim", "criterion"])["state"]
    there = readme.judged_in(real).query("state != 'not tested'").set_index(["claim", "criterion"])["state"]
    pairs = [(own[key], there[key]) for key in there.index if key in own.index]
    same = sum(one == other for one, other in pairs)
    unsettled = sum(one != other and "not settled" in (one, other) for one, other in pairs)
    assert last.startswith(f"{same} of the {len(pairs)} criteria that profile `smollm2` can judge have the same word")
    assert last.endswith(f"; {unsettled} are open in one of them, {len(rows)} turn (above).")
    assert same + unsettled + len(rows) == len(pairs)


def test_the_guarantees_have_their_price_and_what_was_measured(tmp_path):
    row = dict.fromkeys(("guarantee", "promise", "about", "assumes", "ends", "price"), "x") | {"measured": "a | b"}
    pd.DataFrame([row]).to_csv(tmp_path / "14_promises.csv", index=False)
    assert readme.guarantees_table(tmp_path).splitlines()[-1] == r"| x | x | x | x | x | a \| b |"
    told = readme.guarantees_table(paths.ROOT / "results").splitlines()
    assert len(told) == 2 + len(promises.PROMISES) and told[-1].endswith("measure what they do | - |")


def test_the_ways_for_practice_have_their_needs_and_both_models(tmp_path):
    with pytest.raises(UserError, match=r"24_scores\.csv: run"):
        readme.practice_table(tmp_path)
    for name in ("24_scores.csv", "24_ways.csv"):
        shutil.copy(paths.ROOT / "results" / name, tmp_path)
    head, _, *rows = readme.practice_table(tmp_path).splitlines()
    assert "smollm2" not in head and head.count("|") == 7 and len(rows) == 11 and readme._two_digits(9.96) == "10"
    best = "taken back, whole model, 1.25 of the step, 4 repair steps"
    both = readme.practice_table(paths.ROOT / "results").splitlines()
    assert {row.count("|") for row in both} == {11}
    for folder, first, seeds, reads in (("results", 3, 5, "11%"), ("results/smollm2", 7, 3, "8%")):
        ways = pd.read_csv(paths.ROOT / folder / "24_ways.csv")
        cells = next([cell.strip() for cell in row.split("|")] for row in both if row.startswith(f"| {best} |"))
        kl = ways.query("metric == 'kl' and set == 'forget'").pivot_table(
            index="seed", columns="method", values="value"
        )
        times = np.log(kl[best] / kl["finetuned"])
        half = stats.t.ppf(0.975, seeds - 1) * times.std(ddof=1) / np.sqrt(seeds)
        mean, low, high = (np.exp(times.mean() + sign * half) for sign in (0, -1, 1))
        told = ways.query("metric == 'answer_probability' and method == @best").groupby("set")["value"].mean()
        assert cells[2].endswith("; other texts") and cells[first] == reads
        assert cells[first + 1] == f"{mean:.2f} ({low:.2f} to {high:.2f})"
        assert cells[first + 3] == f"{told['forget']:.2f}, {told['retain']:.2f}"


def test_more_seeds_stand_beside_where_they_turn_a_word(tmp_path):
    """The same seeds twice over have the same means and narrower intervals: what was open may settle, nothing turns."""
    results, more = paths.ROOT / "results", tmp_path / readme.MORE
    more.mkdir()
    with pytest.raises(UserError, match=r"15_criteria\.csv: run"):
        readme.more_seeds_table(tmp_path)
    shutil.copy(results / "15_criteria.csv", tmp_path)
    with pytest.raises(UserError, match="has no criterion with more seeds: run --profile thorough --publish"):
        readme.more_seeds_table(tmp_path)
    table = pd.read_csv(results / "12_measures.csv")
    pd.concat([table, table.assign(seed=table["seed"] + 5)]).to_csv(more / "12_measures.csv", index=False)
    text = readme.more_seeds_table(tmp_path)
    head, *rows, empty, last = text.splitlines()
    assert head == "| claim | criterion | 5 seeds | 10 seeds |" and not empty
    own = pd.read_csv(tmp_path / "15_criteria.csv")
    judged = own[own["table"] == "12_measures"]
    same = len(judged) - len(rows[1:])
    assert last.startswith(f"Profile `thorough`, 10 seeds: {same} of the {len(judged)} criteria")
    assert 0 < len(rows[1:]) < len(judged)
    for row in rows[1:]:
        claim, asks, before, after = (cell.strip() for cell in row.strip("|").split(" | "))
        state = own[(own["claim"] == claim) & (own["criterion"] == asks)]["state"].item()
        assert before.startswith(f"*{state}*: ") and not after.startswith(f"*{state}*: ")
    assert "C2 holds" in last and "C8" not in last, "a claim of which some tables are missing has no word"
    (more / "12_measures.csv").unlink()
    table = pd.read_csv(results / "16_measures.csv")
    pd.concat([table, table.assign(seed=table["seed"] + 5)]).to_csv(more / "16_measures.csv", index=False)
    last = readme.more_seeds_table(tmp_path).splitlines()[-1]
    judged = judging.judge_configurations(results).query("configuration == 'as it is'")
    assert f"of the {len(judged)} criteria" in last, "notebook 16 has them of the profile as it is"
    assert "C2 holds" in last and "C8 contradicted" in last and "C4" not in last


def test_missing_marks_and_tables_are_one_line(tmp_path):
    with pytest.raises(UserError, match="marks <!-- results: begin --> and"):
        readme.readme_with_tables("no marks here", tmp_path)
    with pytest.raises(UserError, match="publish"):
        readme.results_table(tmp_path)


def test_the_readme_figure_is_drawn_from_the_committed_tables(tmp_path):
    results = paths.ROOT / "results"
    if not (results / "05_frontier.csv").is_file():
        pytest.fail("results/ holds no tables: run ./run_all.sh --publish")
    assert "figures/05_frontier.png" in (paths.ROOT / "README.md").read_text()
    models = pd.read_csv(results / "05_layers.csv").query("method in ['finetuned', 'retrained']")
    figure = unlearning.frontier(pd.concat([pd.read_csv(results / "05_frontier.csv"), models]), by="layers")
    drawn = Image.open(looks.save(figure, tmp_path, "again", looks.PUBLISHED)).convert("L")
    committed = Image.open(paths.ROOT / "figures" / "05_frontier.png").convert("L")
    assert drawn.size == committed.size
    # The tables are rounded to six digits, so that a line may differ by a shade at its edge.
    difference = np.abs(np.asarray(drawn, float) - np.asarray(committed, float)).mean()
    assert difference < 0.2, "figures/05_frontier.png is out of date: run ./run_all.sh --publish"


def test_the_model_card_says_what_the_notebook_measured():
    card = (paths.DATA / "base_model" / "README.md").read_text()
    table = pd.read_csv(paths.ROOT / "results" / "01_base_model.csv").set_index("set")
    for name, row in table.iterrows():
        assert f"| {row['perplexity']:.2f} |" in card, f"perplexity of {name}"
        if np.isfinite(row["answer_probability"]):
            assert f"| {row['answer_probability']:.3f} |" in card, f"answer probability of {name}"


def test_what_the_readme_says_of_the_ways_to_make_a_recorded_step_is_in_the_tables():
    table = pd.read_csv(paths.ROOT / "results" / "12_measures.csv")
    equal = table[table["stop"] == "equal forgetting"].pivot_table(
        index=["method", "seed"], columns="measure", values="value"
    )
    nothing = table.query("method == 'finetuned'").pivot(index="seed", columns="measure", values="value")
    start = equal.index.get_level_values("seed").map(nothing["forget set: KL"])
    nearer = (equal["forget set: KL"] < start).groupby("method").all()
    both = [f"{epochs}, embedding, preconditioned" for epochs in ("first epoch", "all epochs")]
    assert len(nearer) == 16 and sorted(nearer[nearer].index) == sorted(both)
    kl = np.exp(equal["forget set: KL"].groupby("method").mean())
    first, every = (equal.loc[name] for name in both)
    path = pd.read_csv(paths.ROOT / "results" / "12_paths.csv")
    short = path.query("method == 'retraining cut short' and step_size == 28 and set == 'forget'")["value"]
    left = pd.read_csv(paths.ROOT / "results" / "12_left.csv").query(
        "stop == 'equal forgetting' and set == 'paraphrase'"
    )
    left = left[left["method"].isin(both) & (left["metric"] == "answer_probability")]
    base = table.query("method == 'base' and measure == 'forget set: KL'")["value"]
    assert len(short) == len(base) == 5 and left.groupby("method")["value"].mean().max() < 1 / 6
    said = [
        f"the embedding alone, preconditioned ({kl[both[0]]:.2f}; with all epochs {kl[both[1]]:.2f}; "
        f"the base model: {np.exp(base.mean()):.2f})",
        f"four times in place of six, 28 steps, is at {np.exp(np.log(short).mean()):.2f}",
        f"leave completions at {first['neighbours: completions'].mean():.0%} and a perplexity of "
        f"{np.exp(first['neighbours: perplexity'].mean()):.1f}",
        f"with all epochs ({kl[both[1]]:.2f} against {kl[both[0]]:.2f})",
    ]
    test = paired_t_test(first["forget set: KL"], every["forget set: KL"])
    assert test.high < 0, "nearer with all epochs"
    plain = pd.read_csv(paths.ROOT / "results" / "12_first_or_all.csv")
    plain = plain.query("stop == 'equal forgetting' and place == 'embedding' and kind == 'plain'")
    assert len(plain) == 9 and set(plain["favours"].str[:5]) == {"first"}
    text = " ".join((paths.ROOT / "README.md").read_text().split())
    assert [one for one in said if one not in text] == []


def test_what_the_readme_says_of_the_controls_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    steps = pd.read_csv(results / "19_steps.csv").groupby("method")["length"].mean()
    longer = {"random signs": [], "neighbours' gradient": []}
    for what, found in longer.items():
        for end in (", ".join(pair) for pair in itertools.product(study.CONTROLLED, study.KINDS)):
            found.append(steps[f"{what}, {end}"] / steps[f"first epoch, {end}"])
    signs, others = longer.values()
    measures = pd.read_csv(results / "19_measures.csv")

    def times(method: str, measure: str) -> float:
        of = measures[measures["measure"] == measure].pivot(index="seed", columns="method", values="value")
        return float(np.exp((of[method] - of["finetuned"]).mean()))

    given = "taken back as it was, all epochs, embedding, preconditioned"
    left = pd.read_csv(results / "19_given.csv").query(f"method == '{given}' and set == 'forget'")
    left = left[left["metric"] == "cloze_hit"]["value"].mean()
    near = pd.read_csv(results / "19_near.csv").query("measure == 'forget set: KL'")
    near = near.pivot(index="points", columns="method", values="ratio")
    divided = near[[name for name in near if name.endswith("preconditioned")]]
    kept = pd.read_csv(results / "19_sizes.csv")
    kept = kept[kept["measure"].str.startswith("the subject's other") & kept["method"].str.contains("embedding, pre")]
    said = [
        f"has to be {min(signs):.0f} to {max(signs):.0f} times as long",
        f"neighbours' texts {min(others):.0f} to {max(others):.0f} times; both",
        f"({times(given, 'forget set: KL'):.2f} and {times(given, 'neighbours: KL'):.2f} times the distance), "
        f"but {left:.0%} of his facts",
        f"than doing nothing ({near.loc[1].min():.2f} to {near.loc[1].max():.2f} times)",
        f"({divided.loc[[5, 10]].min().min():.2f} to {divided.loc[[5, 10]].max().max():.2f}), for twenty",
        f"preconditioned one alone ({divided.loc[20].min():.2f})",
        f"other points at {kept.groupby('points')['value'].mean().min():.2f} or more",
    ]
    assert [one for one in said if one not in text] == []


def test_what_the_readme_says_of_the_real_model_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    table = pd.read_csv(results / "smollm2" / "16_measures.csv").query("stop == 'equal forgetting'")
    assert table["seed"].nunique() == 3 and table["reached"].all()
    wide = table.pivot_table(index=["seed", "measure"], columns="method", values="value")
    better = table.groupby("measure")["better"].first().map({"higher": 1, "lower": -1})
    far = []
    for place, kind in itertools.product(("embedding", "whole model"), ("plain", "preconditioned")):
        behind = (
            (wide[f"first epoch, {place}, {kind}"] - wide[f"all epochs, {place}, {kind}"]).groupby("measure").mean()
        )
        assert (behind * better <= 0).all(), f"{place}, {kind}: ahead on none"
        far.append(np.exp(behind["forget set: KL"]))
    nearer = pd.read_csv(results / "26_nearer.csv").query("model == 'the real model' and of == \"Dave's texts\"")
    nearer = nearer.set_index("method")
    numbers = {name: "{ratio:.2f} times ({low:.2f} to {high:.2f}".format(**nearer.loc[name]) for name in nearer.index}
    paper, best = numbers["first epoch, whole model, plain"], numbers["all epochs, embedding, preconditioned"]
    completed = np.mean(wide.xs("neighbours: completions", level=1)["all epochs, embedding, preconditioned"])
    kept = wide.xs("neighbours: answer probability", level=1).mean()
    others = pd.read_csv(results / "26_others.csv").query("model == 'the real model'").set_index(["of", "method"])
    vector, short = (others.loc[("Dave's texts", name)] for name in ("task vector", "retraining, 2 epochs"))
    behind = others["ratio"]["the neighbours' texts"]
    tried = pd.read_csv(results / "smollm2" / "11_table.csv").set_index("method")
    apart = pd.read_csv(results / "smollm2" / "11_distances.csv").query("set == 'forget' and stop != 'outputs gone'")
    apart = np.log(apart[apart["value"] > 0].pivot_table(index="seed", columns="method", values="value"))
    short_of = np.exp(apart.sub(apart["finetuned"], axis=0).mean())
    other, of = "all epochs, whole model, preconditioned", "Dave's texts"
    settled = others.loc["Dave's texts"].query("high < 1").index.intersection(["task vector", "SSD", "UNDIAL", "SalUn"])
    assert list(settled) == ["task vector"] and set(tried.loc[["UNDIAL", "SalUn"], "reached"]) == {"0 of 3"}
    assert tried["work"]["task vector"].round(1) == 0.5 and tried["work"]["retraining, 2 epochs"] == 0.25
    places = (kept[f"first epoch, {place}, plain"] for place in ("embedding", "whole model"))
    distances = wide[wide.index.get_level_values("measure").str.endswith("KL")].groupby("measure").mean()
    assert len(distances) == 4
    assert distances["first epoch, embedding, plain"].gt(distances["first epoch, whole model, plain"]).all()
    said = [
        "leaves the neighbours' answers a probability of {:.2f} (the whole model {:.2f})".format(*places),
        f"in the embedding or in the whole model: {min(far):.1f} to {max(far):.1f} times as far on Dave's texts",
        f"On his texts the paper's step ends at {paper.replace('times (', 'times the distance of doing nothing (')})",
        f"in the embedding at {best}, open), with {completed:.0%} of the neighbours' completions",
        "in the whole model at {ratio:.2f} times ({low:.2f} to {high:.1f}, open)".format(**nearer.loc[other]),
        f"the base model at {nearer.loc['base', 'ratio']:.2f} times",
        f"(UNDIAL, at {short_of['UNDIAL']:.2f} times, and SalUn, at {short_of['SalUn']:.1f})",
        f"SSD open ({others.loc[(of, 'SSD'), 'ratio']:.2f})",
        f"is nearer ({vector['ratio']:.2f} times, {vector['low']:.2f} to {vector['high']:.2f}, for half of "
        "retraining's work), SSD",
        f"retraining for a quarter of it is at {short['ratio']:.2f}, and on the neighbours' texts "
        f"{behind['retraining, 2 epochs'] / behind['task vector']:.1f} times as far as the task vector",
    ]
    assert [one for one in said if one not in text] == []


def test_what_the_readme_says_of_other_configurations_is_in_the_tables():
    folder = paths.ROOT / "results" / "robustness"
    table = pd.read_csv(folder / "16_nearer.csv").set_index("configuration")
    every = table[table["method"] == "all epochs, embedding, preconditioned"]
    nearer, few = every[every["high"] < 1], every.loc["7% to forget"]
    assert len(every) == 11 and len(nearer) == 10 and few["low"] > 1 and set(every["n"]) == {5}
    plain, whole = (
        table[table["method"] == f"first epoch, whole model, {kind}"] for kind in ("plain", "preconditioned")
    )
    assert (plain["low"] > 1).all() and (whole["low"] > 1).sum() == 5 and round(plain["ratio"].max()) == 12
    assert f"{plain['ratio'].min():.1f}" == "3.5"
    words = judging.judge_configurations(folder).groupby(["claim", "configuration"])["verdict"].first().unstack()
    assert (words.loc[["C8", "C11"]] == "contradicted").all(axis=None) and words.shape[1] == 11
    said = [
        f"nine other configurations too ({nearer['ratio'].min():.2f} to {nearer['ratio'].max():.2f} times the distance",
        f"({few['ratio']:.2f} times, interval {few['low']:.2f} to {few['high']:.2f};",
    ]
    known = pd.read_csv(folder / "16_known.csv").groupby("configuration")["share"].mean()
    said.append(f"where {known['7% to forget']:.0%} of the texts are to go in place of {known['as it is']:.0%}, after")
    text = " ".join((paths.ROOT / "README.md").read_text().split())
    assert [one for one in said if one not in text] == []


def test_what_the_readme_says_of_stability_the_literature_and_practice_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    probes = pd.read_csv(results / "23_probes.csv").query(
        "probe == 'learning on' and level == 8 and measure == 'forget'"
    )
    back = probes.groupby("method")["value"].mean()
    requests = pd.read_csv(results / "23_requests.csv").query("requests == 40 and order == 0 and measure == 'others'")
    left = requests.groupby("method")["value"].mean()["embedding, preconditioned"]
    far = pd.read_csv(results / "11_distances.csv").query("stop == 'equal forgetting' and set == 'forget'")
    near = np.exp(np.log(far.set_index("method")["value"]).groupby("method").mean())
    reached = far.groupby("method")["reached"].sum()
    scores = pd.read_csv(results / "24_scores.csv").set_index("method")[["forget", "retain"]]
    scores = np.exp(np.log(scores).groupby("method").mean())
    ways = pd.read_csv(results / "24_ways.csv")
    known, kl = (
        ways[ways["metric"] == metric].pivot_table(index="method", columns="set", values="value")
        for metric in ("answer_probability", "kl")
    )
    by_seed = ways[ways["metric"] == "kl"].pivot_table(index="seed", columns=["set", "method"], values="value")
    searched = pd.read_csv(paths.ROOT / "benchmarks" / "practical.csv")
    tried = practical.scored(searched[searched["first"].notna()], searched[searched["first"].isna()])
    best, half = practical.chosen(tried), practical.nearest_of(tried)
    assert best.startswith("taken back, whole model") and best.endswith("4 repair steps")
    one, told = scores.loc["retraining, 1 epoch"], known.loc[best]
    said = [
        f"bring his answers' probability back to {back['first epoch']:.2f} (retrained model: {back['retrained']:.2f}",
        f"removals one by one the neighbours' answers have a probability of {left:.2f}",
        f"the task vector ({near['task vector']:.2f} nats)",
        f"at {near['negated adapter']:.2f} (negated adapter) to {near['NPO']:.1f} (NPO); six never get there",
        "much, eight of them not in every seed, end",
        f"his answers have a probability of {told['forget']:.2f} (retrained: "
        f"{known.loc['retrained again', 'forget']:.2f}), in other words too, at {scores.loc[best, 'forget']:.2f} times "
        f"the distance of doing nothing on his texts, and {scores.loc[best, 'retain']:.1f} times on the neighbours' "
        f"({kl.loc[best, 'retain']:.2f} nats against {kl.loc['finetuned', 'retain']:.2f}), whose answers stay "
        f"({told['retain']:.2f})",
        f"further on both ({one['forget']:.2f}, {one['retain']:.1f})",
        f"preconditioned step ({scores.loc[half, 'forget']:.2f}, {scores.loc[half, 'retain']:.2f}): it leaves his "
        f"answers at {known.loc[half, 'forget']:.2f}",
        "It is met in no seed: four times as far on his texts",
        "less likely than another retrained model has them (0.16 to 0.21; in SmolLM2 half as likely, 0.13 to 0.25)",
    ]
    times = by_seed["forget"][best] / by_seed["forget"]["retrained again"]
    kept = by_seed["retain"][best] / by_seed["retain"]["finetuned"]
    assert round(times.mean()) == 4 and ((times > 2) | (kept > 1)).all() and len(times) == 5
    for folder, numbers in ((results, (0.16, 0.21)), (results / "smollm2", (0.13, 0.25))):
        asked = pd.read_csv(folder / "24_ways.csv").query("metric == 'answer_probability' and set == 'forget'")
        asked = asked.pivot_table(index="seed", columns="method", values="value")
        assert (asked[best] < asked["retrained again"]).all(), "less likely in every seed"
        assert tuple(asked[[best, "retrained again"]].mean().round(2)) == numbers
    assert [words for words in said if words not in text] == []
    assert (reached == 0).sum() == 6 and ((reached > 0) & (reached < 5)).sum() == 8
    last = pd.read_csv(results / "11_distances.csv").query("stop in ('end', 'equal forgetting')")
    last = np.exp(np.log(last.set_index(["method", "set"])["value"]).groupby(["method", "set"]).mean()).unstack()
    third, thirds = (last.loc[f"retraining, {count} epochs"] for count in (2, 4))
    words = (
        f"a third of its compute ends at {third['forget']:.2f} nats, two thirds at {thirds['forget']:.2f} (on the "
        f"neighbours' texts at {third['retain']:.2f} and {thirds['retain']:.2f}, where the task vector is at "
        f"{last.loc['task vector', 'retain']:.2f})"
    )
    assert words in text
    assert known.loc[best, "paraphrase"] == pytest.approx(known.loc[best, "forget"], abs=0.01)


def test_what_the_readme_says_of_the_recommended_way_in_smollm2_is_in_the_tables():
    results, text = paths.ROOT / "results" / "smollm2", " ".join((paths.ROOT / "README.md").read_text().split())
    scores, ways = pd.read_csv(results / "24_scores.csv"), pd.read_csv(results / "24_ways.csv")
    forget, retain = (geometric_over_seeds(scores, name).set_index("method") for name in ("forget", "retain"))
    known = ways.query("metric == 'answer_probability'").pivot_table(index="method", columns="set", values="value")
    far = ways.query("metric == 'kl' and set == 'retain'").groupby("method")["value"].mean()
    best, one = "taken back, whole model, 1.25 of the step, 4 repair steps", "retraining, 1 epoch"
    told, near = known.loc[best], forget.loc[best]
    said = [
        f"is at {near['mean']:.2f} times ({near['low']:.2f} to {near['high']:.2f}; three seeds): Dave's answers have a "
        f"probability of {told['forget']:.2f} (retrained: {known.loc['retrained again', 'forget']:.2f}), the "
        f"neighbours' {told['retain']:.2f}; on their texts it is at {retain.loc[best, 'mean']:.0f} times doing nothing "
        f"({far[best]:.2f} nats a token against {far['finetuned']:.2f}), retraining for one epoch at "
        f"{forget.loc[one, 'mean']:.2f} and {retain.loc[one, 'mean']:.0f} times",
    ]
    assert [words for words in said if words not in text] == []
    assert scores["seed"].nunique() == 3 == near["n"]
    others = set(ways.dropna(subset=["first"])["method"]) - {best}
    assert len(others) == 6
    (half,) = [name for name in others if forget.loc[name, "high"] < 1]
    assert half == "embedding, preconditioned, 0.5 of the step"
    assert f"below 1 on Dave's texts, and leaves his answers at {known.loc[half, 'forget']:.2f}" in text


def test_what_the_readme_says_of_tofu_itself_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    table = pd.read_csv(results / "smollm2" / "13_ratios.csv")
    assert set(table["unit"]) == {"texts"} and set(table["n"]) == {20, 40}
    ratios = table.set_index(["set", "pair", "to_forget"])
    every_row = pd.read_csv(results / "smollm2" / "13_other_data.csv")
    every = every_row[every_row["metric"] == "kl"]
    far, on_keep = (every[every["set"] == name] for name in ("forget", "keep"))
    kl = far.pivot_table(index="to_forget", columns="method", values="value")
    paper, base = kl["first epoch, whole model"] / kl["nothing done"], kl["base model"] / kl["nothing done"]
    left, again = (
        on_keep[on_keep["method"] == name].groupby("to_forget")["value"].mean()
        for name in ("nothing done", "retrained again")
    )

    def both(of: str, pair: str) -> list[pd.Series]:
        return [ratios.loc[(of, pair, count)] for count in (1, 2)]

    one, two = both("forget", "embedding, preconditioned / nothing done")
    kept, whole, embedding = (
        both("keep", "embedding / whole model, first epoch"),
        both("forget", "first epoch / all epochs, whole model"),
        both("forget", "first epoch / all epochs, embedding"),
    )
    short, others = (both(of, "retraining, 1 epoch / nothing done") for of in ("forget", "keep"))
    best = both("forget", "taken back, repaired / nothing done")
    assert max(row["high"] for row in best) < min(row["low"] for row in short), "the nearest of all"
    answers = every_row[every_row["metric"] == "probability"].pivot_table(
        index=["set", "to_forget"], columns="method", values="value"
    )
    told, kept_answers = (
        answers.loc[f"{of}_perturbed", [other_data.PRACTICAL, "retrained"]] for of in ("forget", "retain")
    )
    cost = on_keep[on_keep["method"] == other_data.PRACTICAL].groupby("to_forget")["value"].mean()
    small = pd.read_csv(results / "13_ratios.csv").query("pair == 'taken back, repaired / nothing done'")
    near = list(small.query("set == 'forget'").itertuples())
    said = [
        f"step is at {one['ratio']:.2f} ({one['low']:.2f} to {one['high']:.2f}) and {two['ratio']:.2f} times "
        f"({two['low']:.2f} to {two['high']:.2f}), the paper's own at {paper[1]:.2f} and {paper[2]:.2f}, "
        f"the base model at {base[1]:.2f} and {base[2]:.2f}",
        f"(on the texts to keep {kept[0]['ratio']:.2f} and {kept[1]['ratio']:.2f} times)",
        f"worse than all in the whole model ({whole[0]['ratio']:.2f} and {whole[1]['ratio']:.2f} times)",
        "all**: {:.2f} ({:.2f} to {:.2f}) and {:.2f} times ({:.2f} to {:.2f}), with answers a little less likely than "
        "the retrained model's ({:.2f} and {:.2f}, retrained {:.2f} and {:.2f}); on the texts to keep it is at {:.2f} "
        "and {:.2f} nats, with {:.2f} and {:.2f} of their answers (retrained {:.2f} and {:.2f})".format(
            *(row[end] for row in best for end in ("ratio", "low", "high")),
            *told.to_numpy().T.ravel(),
            *cost,
            *kept_answers.to_numpy().T.ravel(),
        ),
        "recommends ends at {:.2f} and {:.2f} times doing nothing, retraining for one epoch at {:.2f} and "
        "{:.2f}".format(*(row["ratio"] for row in (*best, *short))),
        f"one epoch is at {short[0]['ratio']:.2f} and {short[1]['ratio']:.2f} on the texts to forget and at "
        f"{others[0]['ratio']:.0f} and {others[1]['ratio']:.0f} times doing nothing on those to keep, where doing "
        f"nothing is at {left[1]:.2f} and {left[2]:.2f} nats and another retrained model at {again.mean():.2f}",
        "recommends at " + " and ".join(f"{row.ratio:.2f} ({row.low:.2f} to {row.high:.2f})" for row in near),
    ]
    assert [words for words in said if words not in text] == []
    assert embedding[0]["low"] < 1 < embedding[0]["high"] and embedding[1]["high"] < 1, "open, and turned"
    assert all(row["low"] > 1 for row in whole), "worse"


def test_what_the_readme_says_of_other_data_and_of_images_is_in_the_tables():
    results, text = paths.ROOT / "results", " ".join((paths.ROOT / "README.md").read_text().split())
    ratios = pd.read_csv(results / "13_ratios.csv").query("set == 'forget'").set_index(["pair", "to_forget"])
    (one, two) = (ratios.loc[("embedding, preconditioned / nothing done", count)] for count in (1, 2))
    quality = (
        pd.read_csv(results / "13_tofu.csv").query("method == 'base model'").groupby("to_forget")["forget_quality"]
    )
    ends = ["ratio", "low", "high"]
    short = np.ravel([ratios.loc[("retraining, 1 epoch / nothing done", count), ends] for count in (1, 2)])
    found_out = pd.read_csv(results / "13_tofu.csv").query("method == 'nothing done'")["forget_quality"] < 0.05
    assert len(found_out) == 10 and found_out.sum() == 2
    far = pd.read_csv(results / "13_other_data.csv").query("metric == 'kl' and set == 'forget' and to_forget == 1")
    ways = pd.read_csv(results / "25_ways.csv").query("kind == 'mislabelled'").groupby("method")
    means = ways[["test", "forget_true", "kl_forget"]].mean()
    apart = (
        pd.read_csv(results / "25_ways.csv")
        .query("kind == 'mislabelled'")
        .pivot_table(index="seed", columns="method", values="kl_forget")
    )
    times = np.exp(np.log(apart["all epochs, whole network"] / apart["nothing done"]).mean())
    layers = pd.read_csv(results / "25_layers.csv").dropna(subset=["layers"]).query("kind == 'mislabelled'")
    left = layers.query("layers != 'all'").groupby(["epochs", "layers"])["test"].mean()
    said = [
        f"at {one['ratio']:.2f} times the distance of doing nothing (one author of twelve; "
        f"{one['low']:.2f} to {one['high']:.2f})",
        f"and {two['ratio']:.2f} times (two; {two['low']:.2f} to {two['high']:.2f})",
        "no different from a retrained one (p {:.2f} and {:.2f}, means over seeds)".format(*quality.mean()),
        "is no bargain there, at {:.1f} ({:.2f} to {:.0f}, open) and {:.1f} times ({:.1f} to {:.1f})".format(*short),
        "but doing nothing neither in eight of ten cases",
        f"({left['first'].min():.2f}; all epochs' gradients {left['all'].min():.2f})",
        f"in the whole network end at {times:.2f} times the distance of doing nothing",
        f"leave a test accuracy of {means.loc['first epoch, whole network', 'test']:.2f}",
        f"give {means.loc['all epochs, whole network', 'forget_true']:.0%} of the images their true class "
        f"(nothing done: {means.loc['nothing done', 'forget_true']:.0%})",
        f"gives it to {means.loc['retraining cut short', 'forget_true']:.0%}",
    ]
    assert [words for words in said if words not in text] == []
    assert round(far[far["method"] == "base model"]["value"].mean()) == 10
    assert left["first"].idxmin() == left["all"].idxmin() == "conv1", "the first layer is the worst place"
