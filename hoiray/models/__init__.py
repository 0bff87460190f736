"""The network that sees a hand and the object it handles, and what it is trained with."""
