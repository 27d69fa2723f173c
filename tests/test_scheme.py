"""Names of energy schemes: taken apart, put together, compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gnomon.evaluate.corrections import SCHEME_SUFFIX
from gnomon.evaluate.scheme import EnergyScheme, difference


@given(st.text(min_size=1))
def test_every_name_of_a_scheme_is_kept_as_it_is(name: str) -> None:
    if not name.startswith(", ") or not name.endswith(" corrections"):
        assert str(EnergyScheme.parse(name)) == name


words = st.text("abcXYZ012+-.@ ", min_size=1).map(str.strip).filter(bool)


@given(words, words, st.just("") | words, words, words, st.just("") | words)
def test_schemes_of_calculations_survive_their_name(
    functional: str, code: str, u: str, paw: str, basis: str, corrections: str
) -> None:
    scheme = EnergyScheme(
        functional=functional,
        code=code,
        hubbard_u=u,
        pseudopotentials=paw,
        basis=basis,
        corrections=corrections,
    )
    assert EnergyScheme.parse(str(scheme)) == scheme
    assert difference(str(scheme), str(scheme)) == ""


def test_schemes_in_tables_keep_their_names() -> None:
    corrected = EnergyScheme(checkpoint="gnomon-1 (sha256 1558adb3e1e6)", corrections="MP2020")
    assert str(corrected) == f"gnomon-1 (sha256 1558adb3e1e6){SCHEME_SUFFIX}"
    assert EnergyScheme.parse(str(corrected)) == corrected
    emt = "ase.calculators.emt.EMT (ase 3.29.0)"
    assert EnergyScheme.parse(emt) == EnergyScheme(checkpoint=emt)
    assert difference(str(corrected), corrected.checkpoint) == "corrections: MP2020 and none"


def test_schemes_that_are_none_are_refused() -> None:
    for parts, reason in (
        ({}, "needs a checkpoint"),
        ({"functional": "PBE"}, "needs a checkpoint"),
        ({"checkpoint": "x", "functional": "PBE"}, "cannot have a functional"),
        ({"checkpoint": "x", "corrections": "a, b"}, "without ,"),
        ({"functional": "P(BE", "code": "a", "pseudopotentials": "b", "basis": "c"}, "without"),
    ):
        with pytest.raises(ValueError, match=reason):
            EnergyScheme(**parts)
