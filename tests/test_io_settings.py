"""A crystal in a CIF is the same in whatever setting and origin its space group is written."""

import gemmi
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice

from gnomon import io
from gnomon.crystals import Crystals
from tests.strategies import rngs

TABLE = list(gemmi.spacegroup_table())
DIGITS = 9
SAME = 1e-6  # fractional: what so many digits and cell parameters leave


def expanded(
    group: gemmi.SpaceGroup, rng: np.random.Generator, special: bool
) -> tuple[Lattice, np.ndarray, np.ndarray, np.ndarray]:
    """A cell that fits, two sites, and all atoms of the cell with the site of each."""
    rotations = np.array([op.rot for op in group.operations()]) // 24
    translations = np.array([op.tran for op in group.operations()]) / 24
    # the mean of a shape over a group keeps it
    start = np.diag(rng.uniform(8, 14, 3)) + rng.uniform(-1, 1, (3, 3))
    metric = np.einsum("kji,jl,klm->im", rotations, start @ start.T, rotations) / len(rotations)
    lattice = Lattice.from_parameters(*Lattice(np.linalg.cholesky(metric)).parameters)
    sites = rng.uniform(0, 1, (2, 3)).round(DIGITS)
    if special:
        sites[0] = rng.integers(0, 8, 3) / 8
    images, owner = [], []
    for i, site in enumerate(sites):
        at = (rotations @ site + translations) % 1
        _, firsts = np.unique((at.round(6) % 1), axis=0, return_index=True)
        images.append(at[np.sort(firsts)])
        owner += [i] * len(firsts)
    return lattice, sites, np.concatenate(images), np.array(owner)


def cif(lattice: Lattice, sites: np.ndarray, symmetry: str, formula: str, units: int) -> str:
    cell = dict(zip(("length_a", "length_b", "length_c"), lattice.abc, strict=True))
    cell |= dict(zip(("angle_alpha", "angle_beta", "angle_gamma"), lattice.angles, strict=True))
    lines = ["data_x", *(f"_cell_{k} {v:.9f}" for k, v in cell.items()), symmetry]
    lines += [f"_chemical_formula_sum '{formula}'", f"_cell_formula_units_Z {units}", "loop_"]
    lines += ["_atom_site_label", *(f"_atom_site_fract_{x}" for x in "xyz")]
    for name, site in zip(("Na1", "Cl1"), sites, strict=True):
        lines.append(" ".join([name, *(f"{x:.{DIGITS}f}" for x in site)]))
    return "\n".join(lines) + "\n"


def said(group: gemmi.SpaceGroup, how: str) -> str:
    """The symmetry of a setting in one of four ways."""
    if how == "name":
        return f"_space_group_name_H-M_alt '{group.xhm()}'"
    if how == "Hall symbol":
        return f'_space_group_name_Hall "{group.hall}"'
    if how == "number and code":
        code = (group.ext if group.ext.isalnum() else "") + group.qualifier
        return f"_space_group_IT_number {group.number}\n" + (
            f"_space_group_IT_coordinate_system_code {code}" if code else ""
        )
    operations = [f"'{op.triplet()}'" for op in group.operations()]
    return "\n".join(["loop_", "_space_group_symop_operation_xyz", *operations])


def comes_back(
    group: gemmi.SpaceGroup, how: str, rng: np.random.Generator, special: bool, folder
) -> None:
    lattice, sites, frac, owner = expanded(group, rng, special)
    expected = Crystals.single(lattice.matrix, np.array([11, 17])[owner], frac)
    amounts = np.bincount(owner)
    divisor = int(np.gcd.reduce(amounts))
    formula = f"Na{amounts[0] // divisor} Cl{amounts[1] // divisor}"
    (folder / "x.cif").write_text(cif(lattice, sites, said(group, how), formula, divisor))
    result = io.read(folder / "x.cif")
    if result.rejects["reason"].to_pylist() == ["atoms_too_close"]:
        return  # random sites near an element of symmetry
    assert result.rejects.to_pylist() == []
    found = result.crystals
    np.testing.assert_allclose(found.lattice, expected.lattice, atol=1e-6)
    assert found.n_atoms.tolist() == expected.n_atoms.tolist()
    for z in (11, 17):
        ours = found.frac_coords[found.atomic_numbers == z]
        theirs = expected.frac_coords[expected.atomic_numbers == z]
        apart = ours[:, None] - theirs
        near = np.abs(apart - np.rint(apart)).max(axis=2) < SAME
        assert near.any(axis=0).all()
        assert near.any(axis=1).all()


WAYS = ("name", "Hall symbol", "number and code", "operations")


def standard(group: gemmi.SpaceGroup) -> bool:
    """Whether number and code tell the setting."""
    same = [
        g
        for g in TABLE
        if (g.number, g.ext, g.qualifier) == (group.number, group.ext, group.qualifier)
    ]
    return group == same[0] and (
        bool(group.qualifier or group.ext.isalnum()) or group.is_reference_setting()
    )


@settings(max_examples=60)
@given(st.sampled_from(TABLE), st.sampled_from(WAYS), rngs, st.booleans())
def test_a_crystal_comes_back_from_any_setting(
    tmp_path_factory, group: gemmi.SpaceGroup, how: str, rng: np.random.Generator, special: bool
) -> None:
    assume(how != "number and code" or standard(group))
    comes_back(group, how, rng, special, tmp_path_factory.mktemp("cif"))


@pytest.mark.slow
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("group", TABLE, ids=lambda group: group.hall)
def test_a_crystal_comes_back_from_every_setting(
    tmp_path, group: gemmi.SpaceGroup, how: str
) -> None:
    if how == "number and code" and not standard(group):
        return
    for seed in range(4):
        rng = np.random.default_rng([seed, *group.hall.encode()])
        comes_back(group, how, rng, seed % 2 == 0, tmp_path)
