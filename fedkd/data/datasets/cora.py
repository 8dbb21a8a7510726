"""Cora: articles on machine learning, the words in each, and which cites which.

Source: P. Sen et al., "Collective Classification in Network Data", AI Magazine 29(3), 2008. Sizes of the parts as in Z. Yang, W. Cohen and
R. Salakhutdinov, "Revisiting Semi-Supervised Learning with Graph Embeddings", ICML 2016: 500 nodes for choosing, 1,000 for testing; 20 labels
a class are `partition=shared partition.per_class=20`. Which nodes these are depends on the seed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from scipy.sparse import coo_array, diags_array, eye_array

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Indices, Numbers, Raw, Task
from fedkd.data.parquet import read_columns
from fedkd.data.sources import PyPI, UserFolder
from fedkd.foundation.options import OpenFraction

NODES, WORDS, HOPS, LISTED = 2708, 1433, 2, 32
"""LISTED is the most neighbours that are listed of a node; twelve nodes have as many or more."""


def _decode(folder: Path) -> Arrays:
    """Decode the words and the subject of each article, and pairs of articles by their places in that order."""
    nodes = read_columns(folder / "cora_nodes.parquet.gzip", ("nodeId", "subject", "features"))
    edges = read_columns(folder / "cora_rels.parquet.gzip", ("sourceNodeId", "targetNodeId"))
    place = {node: number for number, node in enumerate(nodes["nodeId"].tolist())}
    ends = [[place[node] for node in edges[end].tolist()] for end in ("sourceNodeId", "targetNodeId")]
    return {
        "words": nodes["features"].astype(np.uint8),
        "subject": nodes["subject"].astype(np.uint8),
        "edges": np.array(ends, dtype=np.int64).T.copy(),
    }


ARCHIVE = Archive(
    name="cora",
    files=("cora_nodes.parquet.gzip", "cora_rels.parquet.gzip"),
    sources=(UserFolder("cora"), PyPI("graphdatascience", "graphdatascience/resources/cora")),
    decode=_decode,
    sha256="87ac23a70c4656a6154977abc0ee217ade8ab9add6661137cc16e865a495aeba",
)


@dataclass(frozen=True, kw_only=True)
class Cora(DataSet):
    """2,708 articles in seven subjects: the words of each, those of its neighbourhood, and who its neighbours are.

    The view `neighbourhood` is, for 0, 1 and 2 hops, the words averaged over the neighbourhood with the weights of the graph with loops,
    as a graph convolution does; `links` is the number of the node, then those of its neighbours, and its own again in places that are left
    over. All edges count, whosever the nodes: words are known of all nodes, labels are not. So edges between clients are kept.
    """

    validation: OpenFraction = 0.1846
    "Share of the nodes kept for choosing; 500 of them, unless said otherwise."
    test: OpenFraction = 0.3693
    "Share of the nodes kept for reporting; 1,000 of them, unless said otherwise."

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "features": (WORDS,),
        "neighbourhood": (HOPS + 1, WORDS),
        "links": (LISTED + 1,),
    }
    num_outputs = 7
    rows = NODES
    symbols: ClassVar[Mapping[str, int]] = {"links": NODES}
    class_names = (
        "neural networks",
        "rule learning",
        "reinforcement learning",
        "probabilistic methods",
        "theory",
        "genetic algorithms",
        "case based",
    )
    origin = "PyPI package graphdatascience (2 MB)"
    size = "2,708 nodes x 1,433, 5,429 edges, 7 classes"
    licence = "package Apache-2.0"
    archive = ARCHIVE

    def read(self) -> Raw:
        """Return the views in the order of the nodes; words are 0 or 1."""
        arrays = load(ARCHIVE)
        words, edges = arrays["words"].astype(np.float32), arrays["edges"].astype(np.int64)
        views = {
            "features": words,
            "neighbourhood": _neighbourhoods(words, edges),
            "links": _links(edges),
        }
        return Raw(views, arrays["subject"], plain=True)


def _neighbourhoods(words: Numbers, edges: Indices) -> Numbers:
    """Return for each node the words at 0, 1, ... hops [nodes, hops + 1, words], by powers of D^-1/2 (A + I) D^-1/2.

    Source: Kipf and Welling, "Semi-Supervised Classification with Graph Convolutional Networks" (ICLR 2017), section 2.
    """
    ends = np.concatenate([edges, edges[:, ::-1]])
    ones = np.ones(len(ends), dtype=np.float32)
    linked = coo_array((ones, (ends[:, 0], ends[:, 1])), shape=(NODES, NODES)).tocsr()
    linked.data[:] = 1.0  # two articles that cite each other are one edge
    linked = linked + eye_array(NODES, dtype=np.float32, format="csr")
    roots = diags_array(1.0 / np.sqrt(linked.sum(axis=1))).astype(np.float32)
    spread, hops = (roots @ linked @ roots).tocsr(), [words]
    for _ in range(HOPS):
        hops.append(spread @ hops[-1])
    return np.stack(hops, axis=1)


def _links(edges: Indices) -> Indices:
    """Return the number of each node, then those of its neighbours in their order."""
    links = np.tile(np.arange(NODES)[:, None], (1, LISTED + 1))
    known: list[set[int]] = [set() for _ in range(NODES)]
    for one, other in edges.tolist():
        known[one].add(other)
        known[other].add(one)
    for node, others in enumerate(known):
        listed = sorted(others - {node})[:LISTED]
        links[node, 1 : len(listed) + 1] = listed
    return links
