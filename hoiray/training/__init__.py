"""Training without Ray: one step, the loop around it, its state, and what it writes."""
