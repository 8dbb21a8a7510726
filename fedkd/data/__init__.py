"""Data sets, how they are dealt to clients, and the public proxy set that server and clients share."""
