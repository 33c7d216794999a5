"""PISTOL (Qiu et al. 2024, arXiv 2406.16810): contracts between invented companies and people, the edges of a graph."""

from collections.abc import Iterable, Sequence

from unlearnlib.core.errors import UserError, nearest
from unlearnlib.data.items import Benchmark, Item
from unlearnlib.data.reading import TEXT, Part, Place, Row

HUB = None  # the data set's name there is not known to us
SCHEMA = {"question": TEXT, "answer": TEXT}


def load(place: Place, data: str = "sample_data_1", forget: str | Sequence[str] | None = None) -> Benchmark:
    """Return PISTOL: the questions about one edge, or several, to forget, all others to keep.

    data: the file, without its ending; forget: edges such as "A_C" (default: the first of the file). Probes:
    `neighbours`, the retained questions about edges that share a node with a forgotten one; `independent`, those about
    edges that no path joins to it; `utility`, questions about the world (factual_data), where they are there. `group`
    is the edge. UserError where a row is wrong, and for an unknown edge.
    """
    part = Part((f"{data}.json",), SCHEMA | {"edge": TEXT}, check=_edge)
    rows = place.need(part)
    edges = list(dict.fromkeys(row.values["edge"].strip() for row in rows))
    gone = [edges[0]] if forget is None else [forget] if isinstance(forget, str) else list(forget)
    for edge in gone:
        if edge not in edges:
            raise UserError(f"no edge {edge!r} in {data}: {nearest(edge, edges)}")
    items = [_item(f"{row.values['edge'].strip()}-{number:04d}", row) for number, row in enumerate(rows)]
    kept = tuple(item for item in items if item.group not in gone)
    if not kept:
        raise UserError(f"forget names all edges of {data}: leave one to keep")
    near, apart = touching(gone, edges), independent(gone, edges)
    probes = {
        "neighbours": tuple(item for item in kept if item.group in near),
        "independent": tuple(item for item in kept if item.group in apart),
    }
    world = place.find(Part(("factual_data.json",), SCHEMA))
    if world is not None:
        probes["utility"] = tuple(_item(f"fact-{number:03d}", row) for number, row in enumerate(world))
    notes = () if world is not None else ("there is no factual_data.json",)
    forgotten = tuple(item for item in items if item.group in gone)
    return Benchmark(f"PISTOL {data}, {', '.join(gone)}", forgotten, kept, (), probes, notes)


def touching(gone: Iterable[str], edges: Iterable[str]) -> set[str]:
    """Return the edges that share a node with one of `gone`, without those."""
    gone = set(gone)
    nodes = {node for edge in gone for node in edge.split("_")}
    return {edge for edge in edges if edge not in gone and nodes & set(edge.split("_"))}


def independent(gone: Iterable[str], edges: Sequence[str]) -> set[str]:
    """Return the edges that no path of edges joins to one of `gone`."""
    reached = set(gone)
    while more := touching(reached, edges):
        reached |= more
    return set(edges) - reached


def _edge(row: dict, first: dict) -> list[str]:
    nodes = row["edge"].strip().split("_")
    if len(nodes) == 2 and all(nodes) and nodes[0] != nodes[1]:
        return []
    return [f"field 'edge': {row['edge']!r} does not join two nodes; write them with one '_' between, as A_B"]


def _item(name: str, row: Row) -> Item:
    values = row.values
    return Item(
        name,
        question=values["question"].strip(),
        answer=values["answer"].strip(),
        group=values.get("edge", "").strip(),
        at=row.at,
    )
