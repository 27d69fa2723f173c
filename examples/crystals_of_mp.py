r"""Crystals of the Materials Project by your key, as a table that ``train_heads.py`` takes.

    MP_API_KEY=... python examples/crystals_of_mp.py --elements Li O --most 5000 --out mp.parquet
    python examples/train_heads.py DATA band-gap --table mp.parquet --out band-gap-mp.gnomon

Needs the extra ``mp``.  PBE(+U) gaps, and whether a crystal was made (it is in ICSD).
CC-BY 4.0: cite Jain et al., APL Mater. 1, 011002 (2013).
Documents without a gap or with a structure that cannot be read are left out, and counted.
"""

import argparse
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pymatgen.core import Structure

from gnomon.io import as_crystals, to_arrow

FIELDS = ("material_id", "structure", "band_gap", "theoretical")


def table_of(documents: Iterable[Mapping[str, Any]]) -> tuple[pa.Table, int]:
    """Crystals with ``band_gap`` (eV) and ``made`` (1 or 0) of summary documents, and how many were
    left out."""
    structures, gaps, made, lost = [], [], [], 0
    for document in documents:
        try:
            given, gap = document["structure"], float(document["band_gap"])
            real = float(not document["theoretical"])
            structure = given if isinstance(given, Structure) else Structure.from_dict(given)
        except (KeyError, TypeError, ValueError):
            lost += 1
            continue
        structures.append(structure)
        gaps.append(gap)
        made.append(real)
    table = to_arrow(as_crystals(structures))
    for name, values in (("band_gap", gaps), ("made", made)):
        table = table.append_column(name, pa.array(values, pa.float64()))
    return table, lost


def main() -> None:
    """Fetch and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", nargs="+", required=True, help="that every crystal holds")
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    from mp_api.client import MPRester

    with MPRester(os.environ["MP_API_KEY"], use_document_model=False) as client:
        documents = client.materials.summary.search(
            elements=given.elements,
            fields=list(FIELDS),
            chunk_size=1000,
            num_chunks=max(given.most // 1000, 1),
        )
    table, lost = table_of(documents)
    pq.write_table(table, given.out)
    print(f"{given.out}: {len(table)} crystals with a gap, {lost} documents left out")


if __name__ == "__main__":
    main()
