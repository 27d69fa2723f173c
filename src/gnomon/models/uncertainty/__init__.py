"""How far predictions can be trusted: intervals, domain, reliability."""
