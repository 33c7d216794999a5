"""What everything stands on: errors, paths, profiles, the cache and its keys, tables. Knows no model."""
