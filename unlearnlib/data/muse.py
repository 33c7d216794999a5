"""MUSE (Shi et al. 2024, arXiv 2407.06460): news of the BBC, or the Harry Potter books, as long texts to forget.

Tables as in the original repository (folders bbc and hp, or news and books) and on the hub: `raw`, the texts;
`verbmem`, beginnings of texts to forget and how they go on; `knowmem`, questions about both, with ten more to show
first; `privleak`, texts to forget, to keep, and never seen.
"""

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import PLAIN, TEXT, Part, Place, repeated

CORPORA = {"news": ("news", "bbc"), "books": ("books", "hp")}
HUB = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
QUESTION, CONTINUED = {"question": TEXT, "answer": TEXT}, {"prompt": TEXT, "gt": TEXT}
# Tables that are read, by the name they get here: the folder, the names that files and splits have, what a row is.
TABLES = {
    "raw_forget": ("raw", ("forget",), PLAIN),
    "raw_retain": ("raw", ("retain1",), PLAIN),
    "raw_retain2": ("raw", ("retain2",), PLAIN),
    "raw_holdout": ("raw", ("holdout",), PLAIN),
    "verbmem": ("verbmem", ("forget",), CONTINUED),
    "knowmem_forget": ("knowmem", ("forget_qa",), QUESTION),
    "knowmem_retain": ("knowmem", ("retain_qa", "retain2_qa"), QUESTION),
    "knowmem_forget_shown": ("knowmem", ("forget_qa_icl",), QUESTION),
    "knowmem_retain_shown": ("knowmem", ("retain_qa_icl", "retain2_qa_icl"), QUESTION),
    "privleak_forget": ("privleak", ("forget",), PLAIN),
    "privleak_retain": ("privleak", ("retain", "retain2"), PLAIN),
    "privleak_holdout": ("privleak", ("holdout",), PLAIN),
}


def load(place: Place, corpus: str = "news") -> Benchmark:
    """Return MUSE of one corpus, "news" or "books".

    forget: the texts of raw/forget, or where they are not there the beginnings and ends of verbmem; retain:
    raw/retain1, the texts that the original's methods may use to keep utility; heldout: raw/holdout, never trained on.
    Probes: `retain2`, the texts on whose questions utility is measured; `verbmem` (kind continuation); `knowmem_forget`
    and `knowmem_retain`, and `..._shown`, ten to show before a question (see unlearnlib.data.encoding.shown_first);
    `privleak_forget`, `privleak_retain`, `privleak_holdout`, texts for an attack. Rows that the published questions
    repeat are kept, as the published numbers count them, and noted. UserError where a row is wrong, and where there is
    no table at all.
    """
    if corpus not in CORPORA:
        raise UserError(f"no corpus {corpus!r} in MUSE: {nearest(corpus, CORPORA)}")
    found, notes = {}, []
    for name, (folder, splits, schema) in TABLES.items():
        parts = [
            Part(
                (*(f"{of}/{folder}/{split}.json" for of in CORPORA[corpus]), f"{folder}/{split}.json"),
                schema,
                folder,
                split,
                repeats=schema == QUESTION,
            )
            for split in splits
        ]
        rows = next((rows for part in parts if (rows := place.find(part)) is not None), None)
        if rows is None:
            notes.append(f"there is no {parts[0].files[0]}")
            continue
        if repeated(rows):
            notes.append(f"{name}: {repeated(rows)} of {len(rows)} rows repeat an earlier one, kept as published")
        found[name] = tuple(_item(f"{name}-{number:03d}", row, schema) for number, row in enumerate(rows))
    if not found:
        raise UserError(f"{place} has no table of MUSE's {corpus!r}: give the folder that holds {corpus}/knowmem")
    forget = found.pop("raw_forget", None)
    if forget is None and "verbmem" in found:
        forget = tuple(
            Item(f"{item.id}-text", "text", f"{item.question} {item.answer}", at=item.at) for item in found["verbmem"]
        )
        notes.append("the texts to forget are those of verbmem: beginning and continuation")
    retain, held = found.pop("raw_retain", ()), found.pop("raw_holdout", ())
    if "raw_retain2" in found:
        found["retain2"] = found.pop("raw_retain2")
    return Benchmark(f"MUSE {corpus}", forget or (), retain, held, found, tuple(notes))


def _item(name: str, row, schema: dict[str, str]) -> Item:
    values = row.values
    if schema == PLAIN:
        return Item(name, "text", values["text"], at=row.at)
    if schema == CONTINUED:  # the two were cut between words
        return Item(name, "continuation", question=values["prompt"].strip(), answer=values["gt"].strip(), at=row.at)
    return Item(name, question=values["question"].strip(), answer=values["answer"].strip(), at=row.at)
