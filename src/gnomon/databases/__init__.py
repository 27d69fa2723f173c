"""Reference phases: what others have found in a chemical system, with energies of our own scheme.

A provider is asked once; its answers are kept as they came, with their checksums, and the crystals
in them are evaluated anew, so that they share a hull with the finds of a campaign.  The folder is
the state: the same command goes on after a kill or a cut line.

    reference-Au-Cu/  reference.json
      answers/source-0/query-000/page-0000.json   fetched.json: who said what when, with sha256
      evaluations/round=000/part-0000.parquet
      records.parquet  phases.parquet             derived: delete freely, the command rebuilds them

``phases.parquet`` holds the converged phases for `gnomon hull` and `gnomon discover --known`,
``records.parquet`` every record as given, with what became of it.
"""

from gnomon.databases.answers import Answer, Answers, Fetched
from gnomon.databases.run import References, Request, fetch, references
from gnomon.databases.sources import Source, make_source
from gnomon.run.http import HttpError, Patience

__all__ = [
    "Answer",
    "Answers",
    "Fetched",
    "HttpError",
    "Patience",
    "References",
    "Request",
    "Source",
    "fetch",
    "make_source",
    "references",
]
