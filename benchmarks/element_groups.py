"""Do vectors of elements know the groups of the periodic table?

    python benchmarks/element_groups.py

After Onwuli et al., Digital Discovery 2, 1558 (2023), doi:10.1039/D3DD00121K, who find familiar
groups in maps of such vectors: for each table the share of elements whose nearest other element is
of the same group, by each metric, and how well clusters agree with the groups (adjusted Rand index
of average linkage by cosine, as many clusters as groups; 1 is agreement, 0 chance), beside 200
random numbers an element.  Groups are those that ElementEmbeddings colours its maps by.  Properties
are in units of their standard deviation over elements, learned numbers as they are.
``docs/images/element-maps.svg`` shows the first two principal axes.
"""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from sklearn.metrics import adjusted_rand_score

from gnomon.elements import SYMBOLS
from gnomon.represent.elements import ElementVectors, Pooled
from gnomon.represent.registry import representation
from gnomon.represent.similarity import DISTANCES, distances, principal_axes
from record import RESULTS, save

RESULT = RESULTS / "element_groups.json"
PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "element-maps.svg"
NAMES = (
    *("magpie", "oliynyk", "mat2vec", "skipatom", "megnet16"),
    *("composition-elements", "structural-elements"),
)
PROPERTIES = ("magpie", "oliynyk")
"""Have units."""
SHOWN = ("magpie", "mat2vec", "skipatom", "structural-elements")
LAST = 83
"""Elements to bismuth: heavier ones are in few tables."""


def groups() -> dict[int, str]:
    """Groups by atomic number."""
    spec = find_spec("elementembeddings")
    assert spec is not None
    assert spec.submodule_search_locations
    place = Path(next(iter(spec.submodule_search_locations)))
    found = json.loads((place / "data" / "element_data" / "element_group.json").read_text())
    return {SYMBOLS.index(symbol): group for symbol, group in found.items() if symbol in SYMBOLS}


def vectors(name: str) -> ElementVectors:
    """The vectors of a table, or random ones."""
    if name == "random":
        values = np.random.default_rng(0).normal(size=(119, 200))
        return ElementVectors(tuple(map(str, range(200))), values, name, "")
    made = representation(name)
    assert isinstance(made, Pooled)
    return made.vectors


def scaled(name: str, of: dict[int, str]) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers of the elements that have a vector and a group, and the vectors."""
    table = vectors(name)
    known = np.array([z for z in range(1, LAST + 1) if table.known[z] and z in of])
    values = table.values[known]
    spread = values.std(axis=0) if name in PROPERTIES else np.ones(values.shape[1])
    return known, (values - values.mean(axis=0))[:, spread > 0] / spread[spread > 0]


def measured(name: str, of: dict[int, str]) -> dict[str, Any]:
    """Purity of nearest neighbours by metric, and agreement of clusters."""
    known, values = scaled(name, of)
    group = np.array([of[z] for z in known])
    purity = {}
    for metric in DISTANCES:
        apart = distances(values, values, metric)
        np.fill_diagonal(apart, np.inf)
        purity[metric] = round(float((group[apart.argmin(axis=1)] == group).mean()), 3)
    cosine = distances(values, values, "cosine")
    tree = linkage(squareform(np.maximum(cosine, cosine.T), checks=False), "average")
    clusters = fcluster(tree, len(set(group)), "maxclust")
    return {
        "elements": len(known),
        "numbers": values.shape[1],
        "nearest of the same group": purity,
        "adjusted_rand_index": round(float(adjusted_rand_score(group, clusters)), 3),
        "variance of two axes": round(float(principal_axes(values, 2)[1].sum()), 3),
    }


def draw(of: dict[int, str], out: Path) -> None:
    """Maps of elements by their first two principal axes."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "gnomon", "font.size": 7})
    from matplotlib import pyplot as plt

    names = sorted(set(of.values()))
    colour = dict(zip(names, plt.get_cmap("tab20").colors, strict=False))
    figure, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
    for axis, name in zip(axes.flat, SHOWN, strict=True):
        known, values = scaled(name, of)
        placed, share = principal_axes(values, 2)
        axis.scatter(*placed.T, s=0)
        for z, (x, y) in zip(known, placed, strict=True):
            axis.text(x, y, SYMBOLS[z], color=colour[of[z]], ha="center", va="center")
        axis.set(title=f"{name} ({share.sum():.0%} of the variance)", xticks=[], yticks=[])
    marks = [plt.Line2D([], [], color=colour[n], marker="s", ls="", label=n) for n in names]
    figure.legend(handles=marks, loc="outside lower center", ncols=6, frameon=False)
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--picture", type=Path, default=PICTURE)
    given = parser.parse_args()
    of = groups()
    draw(of, given.picture)
    rows = {name: measured(name, of) for name in (*NAMES, "random")}
    save({"groups": sorted(set(of.values())), "vectors": rows}, given.out)


if __name__ == "__main__":
    main()
