"""The ground floor: errors, options, parts, the registry, named random streams and the run folder."""
