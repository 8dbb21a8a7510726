"""The command line: `fedkd run`, `resume`, `list`, `data`, `check`."""
