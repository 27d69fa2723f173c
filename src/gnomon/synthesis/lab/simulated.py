"""A campaign in the simulated furnace, entry by entry in the notebook."""

from __future__ import annotations

from typing import Any

from gnomon.crystals import Crystals
from gnomon.run.listener import SILENT, Listener
from gnomon.synthesis.lab.furnace import Furnace, seen
from gnomon.synthesis.lab.notebook import Notebook, elements_of
from gnomon.synthesis.lab.powder import CRUCIBLE, Diffractometer, of_system


def run(
    book: Notebook,
    law: str,
    seed: int,
    attempts: int,
    crystals: Crystals | None = None,
    listener: Listener = SILENT,
) -> list[dict[str, Any]]:
    """Plan, heat and look until the target is made, nothing is worth trying or attempts end.

    After a kill the same call goes on with the experiment that was under way, and the notebook
    becomes the same as without one.

    Args:
        book: of the laboratory.
        law: of the furnace.
        seed: of its world.
        attempts: outcomes in the notebook, at most.
        crystals: outcomes are read from simulated diffractograms of them; without, they are those
            of the furnace with errors.
        listener: hears of each outcome.

    Returns:
        All outcomes of the notebook.

    Raises:
        StoreError: if the folder cannot be written, or another process works on it.
        ValueError: for an unknown law.
    """
    with book.writing(listener):
        config = book.config
        names = [config.target, *config.precursors]
        furnace = Furnace(book.solids, names, config.pressures, law, seed)
        instrument = None
        if crystals is not None:
            elements = {*elements_of(names, config.pressures), *elements_of([CRUCIBLE], {})}
            instrument = Diffractometer(of_system(crystals, elements), names, seed)
        while len(book.entries()) < attempts and (plan := book.next()) is not None:
            number, heating = plan["number"], book.heating(plan)
            truth = furnace.heat(heating)
            source, note, doubt = f"simulated furnace ({law}, seed {seed})", "", 0.0
            if instrument is None:
                phases = seen(truth, seed, number)
            else:
                reading = instrument.look(truth, plan["grams"], number)
                phases, note = dict(reading.phases), reading.note
                doubt = reading.doubt(config.target)
                source += " and simulated diffractogram"
            entry = book.record(number, phases, source, note=note, doubt=doubt)
            listener.say(told(entry))
        return book.entries()


def told(entry: dict[str, Any]) -> str:
    """An outcome in a line."""
    done = entry["experiment"]
    what = ", ".join(f"{name} {share:.0%}" for name, share in entry["phases"].items())
    return (
        f"{entry['number']}. {' + '.join(done['precursors'])}, {done['celsius']:g} °C: "
        f"{what or 'nothing that is known'}{' - made' if entry['success'] else ''}"
    )
