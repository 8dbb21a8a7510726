"""Data sets by name.

>>> DATASETS.create({"name": "digits", "samples": 500}, key="data").load(Streams(0)).train
"""

from fedkd.foundation.registry import Family

DATASETS = Family("data set", "fedkd.data.datasets", "DataSet", "fedkd.datasets")
