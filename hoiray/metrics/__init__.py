"""The field's metrics, as its official scripts define them."""
