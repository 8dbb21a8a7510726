"""Parts for fedkd: clients that are less sure of themselves, and a consensus that one bad teacher cannot move far."""
