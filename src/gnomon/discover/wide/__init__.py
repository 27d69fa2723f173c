"""Campaigns without a system: candidates of all known crystals, in passes over shards."""
