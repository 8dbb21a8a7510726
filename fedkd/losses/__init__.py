"""Losses as pure functions: student first, teacher second, batch first, class axis last, in log space.

>>> kd(student_logits, teacher_logits, temperature=4.0)
tensor(...)

By the kind of knowledge: responses (`kd, dkd, dist, jsd, mae, mse`), features (`hint, at, nst, fsp, factor_transfer,
activation_boundary`), relations (`sp, cc, cckd, rkd_distance, rkd_angle, darkrank, irg, lsp`), information (`vid, crd, mimkd, info_nce, pkt`), rankings
(`rd, rrd, cd, de`), numbers (`bounded_regression, attentive_imitation, outlier_rejection`, and with variances `gaussian_nll, gaussian_kl`) and embeddings
(`supervised_contrastive, cosine, cosine_relations`). What a loss learns itself is a module: `Regressor`, `VID`, `CRD`, `MIMKD`, `GCRD`, `HKD`, `Paraphraser`,
`Translator`, `Experts`, `Amalgamation`.

Every function raises `IllegalCombination` for shapes that do not go together, and `InvalidOption` for an option out of range. Of no sample the mean is 0.
"""

from fedkd.losses.amalgamation import Amalgamation
from fedkd.losses.contrast import CRD
from fedkd.losses.critics import MIMKD
from fedkd.losses.embeddings import cosine, cosine_relations, supervised_contrastive
from fedkd.losses.experts import Experts, de
from fedkd.losses.factors import Paraphraser, Translator
from fedkd.losses.features import activation_boundary, at, factor_transfer, fsp, hint, nst
from fedkd.losses.federated import not_true_kd
from fedkd.losses.gaussian import gaussian, gaussian_kl, gaussian_nll
from fedkd.losses.graph_contrast import GCRD
from fedkd.losses.graphs import irg, lsp
from fedkd.losses.holistic import HKD
from fedkd.losses.information import crd, info_nce, mimkd, pkt, vid
from fedkd.losses.ranking import cd, cd_items, rd, rrd, rrd_items
from fedkd.losses.reductions import Reduction
from fedkd.losses.regression import attentive_imitation, bounded_regression, outlier_rejection
from fedkd.losses.regressors import VID, Regressor
from fedkd.losses.relations import cc, cckd, darkrank, rkd_angle, rkd_distance, sp
from fedkd.losses.response import dist, dkd, jsd, kd, mae, mse

__all__ = [
    "kd", "dkd", "dist", "jsd", "mae", "mse", "not_true_kd",
    "hint", "at", "nst", "fsp", "factor_transfer", "activation_boundary",
    "sp", "cc", "cckd", "rkd_distance", "rkd_angle", "darkrank", "irg", "lsp",
    "vid", "crd", "mimkd", "info_nce", "pkt",
    "rd", "rrd", "rrd_items", "cd", "cd_items", "de",
    "bounded_regression", "attentive_imitation", "outlier_rejection", "gaussian", "gaussian_nll", "gaussian_kl",
    "supervised_contrastive", "cosine", "cosine_relations",
    "Regressor", "VID", "CRD", "MIMKD", "GCRD", "HKD", "Paraphraser", "Translator", "Experts", "Amalgamation", "Reduction",
]  # fmt: skip
