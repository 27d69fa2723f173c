"""Small files in the shape of VASP's own, for tests of what reads them; no energy is real."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gnomon.crystals import Crystals
from gnomon.io import to_pymatgen
from gnomon.verify.vasp_inputs import Protocol, jobs

DATES = dict.fromkeys(Protocol, "01Jan2000") | {Protocol.PBE_NEWER: "01Jan2010"}
"""Of all potentials, which tells Ga, Ge, Li, Mg and Na of two releases apart."""

DATE = DATES[Protocol.PBE]


def vasprun_xml(
    structure: Any,
    incar: dict[str, Any],
    potcar: Sequence[str],
    *,
    energy: float,
    divisions: Sequence[int] = (8, 8, 8),
    ionic_steps: int = 2,
    electronic_steps: int = 5,
) -> str:
    """A vasprun.xml of a run that ended: every block that pymatgen asks for.

    Args:
        structure: pymatgen's, at the beginning and in the end.
        incar: tags.
        potcar: symbols, such as ``Li_sv``, in the order of the species; a date may follow.
        energy: eV, of the cell.
        divisions: of the k-point mesh.
        ionic_steps, electronic_steps: steps taken, the latter in each of the former.
    """
    named = "".join(f"  {_tag(key, value)}\n" for key, value in incar.items())
    position = _structure(structure)
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>
 <generator>
  <i name="program" type="string">vasp </i>
  <i name="version" type="string">6.4.3  </i>
 </generator>
 <incar>
{named} </incar>
 <kpoints>
  <generation param="Gamma">
   <v type="int" name="divisions">{" ".join(str(n) for n in divisions)}</v>
   <v name="usershift">0.0 0.0 0.0</v>
  </generation>
  <varray name="kpointlist"><v>0.0 0.0 0.0</v></varray>
  <varray name="weights"><v>1.0</v></varray>
 </kpoints>
 <parameters>
  <separator name="electronic">
   {_tag("ENMAX", float(incar["ENCUT"]))}
   {_tag("NELM", incar.get("NELM", 60))}
   {_tag("ISPIN", incar.get("ISPIN", 1))}
  </separator>
  <separator name="electronic exchange-correlation">
   {_tag("GGA", incar.get("GGA", "PE"))}
   {_tag("METAGGA", incar.get("METAGGA", "--"))}
   <i name="AEXX">0.0</i>
   <i name="HFSCREEN">0.0</i>
   <i type="logical" name="LHFCALC">F</i>
   {_tag("LDAU", bool(incar.get("LDAU", False)))}
  </separator>
  <separator name="ionic">
   {_tag("NSW", incar.get("NSW", 0))}
   {_tag("IBRION", incar.get("IBRION", -1))}
  </separator>
 </parameters>
{_atominfo(structure, potcar)}
 <structure name="initialpos">
{position} </structure>
{_calculation(structure, energy, electronic_steps) * ionic_steps} <structure name="finalpos">
{position} </structure>
</modeling>
"""


def outcar(
    incar: dict[str, Any],
    potcar: Sequence[str],
    *,
    energy: float,
    electronic_steps: int = 5,
    ionic_steps: int = 1,
    moment: float = 0.0,
    reached: bool = True,
) -> str:
    """The lines of an OUTCAR that tell settings, energy, moment and whether it ended."""
    titles = "\n".join(f"   TITEL  = PAW_PBE {dated(symbol)}" for symbol in potcar)
    hubbard = ""
    if "LDAUU" in incar:
        values = " ".join(f"{u:6.3f}" for u in incar["LDAUU"])
        hubbard = f"   U (eV)           for each species LDAUU = {values}\n"
    steps = "".join(
        f"--------------- Iteration {i:6d}({electronic_steps:4d})  ---------------\n"
        f" number of electron      16.0000000 magnetization {moment:13.7f}\n"
        " E-fermi :   1.2345     XC(G=0):  -6.1327     alpha+bet : -1.8238\n"
        "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)\n"
        f"  free  energy   TOTEN  = {energy:16.8f} eV\n\n"
        f"  energy  without entropy= {energy:16.8f}  energy(sigma->0) = {energy:16.8f}\n"
        for i in range(1, ionic_steps + 1)
    )
    return f""" vasp.6.4.3 29Mar24 complex
{titles}
   k-points           NKPTS =      1   number of bands    NBANDS=     16
   total plane-waves  NPLWV =   13824
   ENCUT  = {float(incar["ENCUT"]):6.1f} eV  38.22 Ry    6.18 a.u.
   NELM   = {incar.get("NELM", 60):6d};   NELMIN=  2; NELMDL= -5
   NSW    = {incar.get("NSW", 0):6d}    number of steps for IOM
   IBRION = {incar.get("IBRION", -1):6d}    ionic relax: 0-MD 1-quasi-New 2-CG
   ISPIN  = {incar.get("ISPIN", 1):6d}    spin polarized calculation?
   GGA     =    {incar.get("GGA", "PE")}    GGA type
   METAGGA = {incar.get("METAGGA", "F")}      MetaGGA
{hubbard}
{steps}
{" reached required accuracy - stopping structural energy minimisation" if reached else ""}

 General timing and accounting informations for this job:
 ========================================================
                  Total CPU time used (sec):       12.345
                            User time (sec):       12.000
                          System time (sec):        0.345
                         Elapsed time (sec):       13.000
"""


def write_run(folder: Path, inputs: Any, *, energy: float, **changes: Any) -> Path:
    """A finished run with exactly the settings of pymatgen's set ``inputs``.

    Args:
        folder: of the job; made if it is not there.
        inputs: pymatgen's set.
        energy: eV, of the cell.
        changes: ``incar`` (tags to set; None removes one), ``potcar`` (symbols instead of the
            set's), and what ``vasprun_xml`` takes.
    """
    settings = {str(k): v for k, v in inputs.incar.items()} | changes.pop("incar", {})
    settings = {k: v for k, v in settings.items() if v is not None}
    potcar = changes.pop("potcar", list(inputs.potcar_symbols))
    if inputs.kpoints is not None:
        changes.setdefault("divisions", [int(n) for n in inputs.kpoints.kpts[0]])
    text = vasprun_xml(inputs.poscar.structure, settings, potcar, energy=energy, **changes)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "vasprun.xml"
    path.write_text(text, "utf-8")
    return path


def finished(folder: Path, crystal: Crystals, protocol: Protocol = Protocol.PBE) -> list[Any]:
    """All jobs of a crystal as they end when all goes well, at -4 eV/atom; their input sets."""
    (structure,) = to_pymatgen(crystal)
    made = []
    for job in jobs(protocol):
        inputs = job.inputs(structure)
        steps = 1 if inputs.incar.get("NSW", 0) == 0 else 3
        potcar = [f"{symbol} {DATES[protocol]}" for symbol in inputs.potcar_symbols]
        energy = -4.0 * len(structure)
        write_run(folder / job.name, inputs, energy=energy, ionic_steps=steps, potcar=potcar)
        made.append(inputs)
    return made


def dated(symbol: str) -> str:
    """A symbol with a date, which it may have already."""
    return symbol if " " in symbol else f"{symbol} {DATE}"


def _tag(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f'<i type="logical" name="{name}">{"T" if value else "F"}</i>'
    if isinstance(value, int):
        return f'<i type="int" name="{name}">{value}</i>'
    if isinstance(value, float):
        return f'<i name="{name}">{value:.8f}</i>'
    if isinstance(value, (list, tuple)):
        kind = ' type="int"' if all(isinstance(v, int) for v in value) else ""
        return f'<v{kind} name="{name}">{" ".join(f"{v}" for v in value)}</v>'
    return f'<i type="string" name="{name}">{value}</i>'


def _structure(structure: Any) -> str:
    def rows(array: Any) -> str:
        return "".join(f"    <v>{a:.10f} {b:.10f} {c:.10f}</v>\n" for a, b, c in array)

    return (
        f'  <crystal>\n   <varray name="basis">\n{rows(structure.lattice.matrix)}   </varray>\n'
        f'  </crystal>\n  <varray name="positions">\n{rows(structure.frac_coords)}  </varray>\n'
    )


def _atominfo(structure: Any, potcar: Sequence[str]) -> str:
    symbols = [site.specie.symbol for site in structure]
    species = list(dict.fromkeys(symbols))
    atoms = "".join(f"    <rc><c>{s} </c><c>{species.index(s) + 1}</c></rc>\n" for s in symbols)
    types = "".join(
        f"    <rc><c>{symbols.count(s)}</c><c>{s} </c><c>10.0</c><c>4.0</c>"
        f"<c>  PAW_PBE {dated(p)} </c></rc>\n"
        for s, p in zip(species, potcar, strict=False)
    )
    return f""" <atominfo>
  <atoms> {len(symbols)} </atoms>
  <types> {len(species)} </types>
  <array name="atoms">
   <set>
{atoms}   </set>
  </array>
  <array name="atomtypes">
   <set>
{types}   </set>
  </array>
 </atominfo>"""


def _calculation(structure: Any, energy: float, electronic_steps: int) -> str:
    values = "".join(
        f'<i name="{name}">{energy:.8f}</i>' for name in ("e_fr_energy", "e_wo_entrp", "e_0_energy")
    )
    block = f"   <energy>{values}</energy>\n"
    zeros = "".join("    <v>0.0 0.0 0.0</v>\n" for _ in range(len(np.array(structure.frac_coords))))
    steps = f"  <scstep>\n{block}  </scstep>\n" * electronic_steps
    return f""" <calculation>
{steps}  <structure>
{_structure(structure)}  </structure>
  <varray name="forces">
{zeros}  </varray>
{block} </calculation>
"""
