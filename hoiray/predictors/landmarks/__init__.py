"""A teacher for real video that needs no training: published landmark networks, and a hand model fitted to them."""
