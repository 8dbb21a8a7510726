"""Ways of dealing a training pool to clients.

>>> PARTITIONS.create({"name": "dirichlet", "alpha": 0.1}, key="partition").assign(labels, clients=20, streams=Streams(0))
"""

from fedkd.foundation.registry import Family

PARTITIONS = Family("partition", "fedkd.data.partitions", "Partitioner", "fedkd.partitions")
