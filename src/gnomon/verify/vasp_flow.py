"""The same calculations as one flow of jobflow, for those who run atomate2.

atomate2 takes the Materials Project's settings from its own makers: for r2SCAN it prepares the
crystal with PBEsol, where the inputs of ``gnomon.verify.vasp_inputs`` do with PBE.
"""

from __future__ import annotations

import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gnomon.io import to_pymatgen
from gnomon.run.writing import write_bytes
from gnomon.verify.plan import Plan
from gnomon.verify.vasp_inputs import Protocol, folder_name

FLOW = "flow.json"

MAKERS = {
    Protocol.PBE: "MPGGADoubleRelaxStaticMaker",
    Protocol.R2SCAN: "MPMetaGGADoubleRelaxStaticMaker",
}


def can_make_flows() -> bool:
    """Whether jobflow and atomate2 are installed (extra ``vasp``)."""
    return find_spec("jobflow") is not None and find_spec("atomate2") is not None


def make_flow(plan: Plan, protocol: Protocol) -> Any:
    """A ``jobflow.Flow`` with a flow for each crystal, named like its folder.

    Raises:
        ValueError: if jobflow or atomate2 is not installed, or has no makers for the protocol.
    """
    if protocol not in MAKERS:
        raise ValueError(
            f"there is no flow for the protocol {protocol.value}: atomate2 takes all potentials "
            "from one release; run the input files as they are"
        )
    if not can_make_flows():
        raise ValueError(
            "a flow needs jobflow and atomate2, which are not installed: "
            "pip install 'gnomon[vasp]', or run the input files as they are"
        )
    jobflow = importlib.import_module("jobflow")
    makers = importlib.import_module("atomate2.vasp.flows.mp")
    maker = getattr(makers, MAKERS[protocol])
    structures = to_pymatgen(plan.crystals)
    flows = []
    for crystal, structure in zip(plan.crystals, structures, strict=True):
        flow = maker().make(structure)
        flow.name = folder_name(crystal)
        flow.update_metadata({"gnomon_id": str(crystal.ids[0])})
        flows.append(flow)
    return jobflow.Flow(flows, name=f"gnomon verify, {protocol.value}")


def write_flow(plan: Plan, folder: Path, protocol: Protocol) -> Path:
    """Write the flow as one JSON file, which ``monty.serialization.loadfn`` reads back.

    Raises:
        ValueError: if there is no flow, as ``make_flow`` says.
    """
    encoder = importlib.import_module("monty.json").MontyEncoder
    text = json.dumps(make_flow(plan, protocol), cls=encoder)
    return write_bytes(folder / FLOW, text.encode())
