"""The verbs: one a file, table in, table out, without Ray."""
