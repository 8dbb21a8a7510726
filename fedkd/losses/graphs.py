"""Losses on graphs whose nodes are samples, or nodes of a graph in the data.

>>> lsp(torch.rand(8, 16), torch.rand(8, 512))
tensor(...)

Teachers receive no gradient.
"""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.checks import agree, positive
from fedkd.losses.reductions import Reduction, largest, nonzero, reduce, scaled
from fedkd.losses.relations import distances_of


def irg(
    student_logits: Float[Tensor, "batch classes"],
    teacher_logits: Float[Tensor, "batch classes"],
    student_layers: Sequence[Float[Tensor, "batch ..."]],
    teacher_layers: Sequence[Float[Tensor, "batch ..."]],
    *,
    vertices: float = 0.1,
    edges: float = 5.0,
    transitions: float = 5.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*batch"]:
    """Instance relationship graph: `vertices MSE(logits) + edges MSE(E) + transitions MSE(V)`.

    E holds the squared distances of all pairs of samples in a layer, over the largest; its error is averaged over the layers. V holds for
    each sample the squared distance between its features in one layer and the next, over the largest; its error is averaged over
    the steps between layers. Only steps between layers of one width have such a distance (the first and the last layer of each stage
    of a residual network, in the authors' code). Maps count as the means of their channels.

    Args:
        student_logits: receives the gradient.
        teacher_logits: no gradient.
        student_layers: features of one or more layers, from the input on; student and teacher may differ in width.
        teacher_layers: features of as many layers of the teacher; no gradient.
        vertices: weight of the logits.
        edges: weight of the relations between samples.
        transitions: weight of the steps between layers.
        reduction: mean over the batch, sum, or one value a sample.

    Raises:
        IllegalCombination: another number of layers on either side, or no step between layers of one width.

    Differs from the authors' code: the largest distance has a gradient too.
    Source: Liu et al., "Knowledge Distillation via Instance Relationship Graph" (CVPR 2019), equations 4 to 10.
    """
    if not student_layers or len(student_layers) != len(teacher_layers):
        raise IllegalCombination(
            f"irg needs as many layers of the student as of the teacher, and one at least; there are {len(student_layers)} and "
            f"{len(teacher_layers)}"
        )
    agree("irg", student_logits.shape, teacher_logits.shape)
    agree("irg", *(x.shape[:1] for x in (student_logits, *student_layers, *teacher_layers)), what="batches")
    learned, known = _pooled(student_layers), _pooled([layer.detach() for layer in teacher_layers])
    loss = vertices * (student_logits - teacher_logits.detach()).square().mean(dim=1)
    errors = [
        (_edges(mine) - _edges(theirs)).square().mean(dim=1)
        for mine, theirs in zip(learned, known, strict=True)
    ]
    loss = loss + edges * torch.stack(errors).mean(dim=0)
    if transitions and len(learned) > 1:
        steps = _transitions(learned, known)
        loss = loss + transitions * torch.stack(steps).mean(dim=0)
    return reduce(loss, reduction)


def lsp(
    student: Float[Tensor, "nodes *_"],
    teacher: Float[Tensor, "nodes *_"],
    neighbours: Bool[Tensor, "nodes nodes"] | Int[Tensor, "nodes _"] | None = None,
    *,
    scale: float = 100.0,
    reduction: Reduction = "mean",
) -> Float[Tensor, "*nodes"]:
    """Local structure preserving: `KL(teacher || student)` of how each node's similarity is spread over its neighbours.

    The spread is the softmax of `exp(-|a - b|_1 / scale)` over the neighbours. A node without neighbours costs nothing.

    Args:
        student: embeddings of any width.
        teacher: embeddings; no gradient.
        neighbours: whether row i and column j are neighbours; or the rows of each node's neighbours, -1 in empty places, which is faster
            for graphs of few edges; without it every node is the neighbour of all others.
        scale: distance over which similarity falls to 1/e.
        reduction: mean over the nodes, sum, or one value a node.

    Source: Yang et al., "Distilling Knowledge from Graph Convolutional Networks" (CVPR 2020), equations 2 to 6; kernel and scale are
    those of the authors' code.
    """
    agree("lsp", student.shape[:1], teacher.shape[:1], what="batches")
    positive("scale", scale)
    if neighbours is None:
        neighbours = ~torch.eye(len(student), dtype=torch.bool, device=student.device)
    nodes = len(student)
    dense = neighbours.dtype == torch.bool
    agree("lsp", (nodes, nodes) if dense else (nodes,), neighbours.shape[: 2 if dense else 1], what="nodes")
    linked = neighbours if dense else neighbours >= 0

    def structure(x: Tensor) -> Tensor:
        if dense:
            apart = torch.cdist(x, x, p=1.0)
        else:
            apart = (x[neighbours.clamp_min(0)] - x[:, None]).abs().sum(dim=2)
        similarity = (-apart / scale).exp()
        # A finite number, since a node without neighbours has a softmax too.
        return F.log_softmax(similarity.masked_fill(~linked, -1e4), dim=1)

    learned, known = structure(student.flatten(1)), structure(teacher.detach().flatten(1))
    divergence = (known.exp() * (known - learned)).masked_fill(~linked, 0.0).sum(dim=1)
    return reduce(divergence, reduction)


def neighbour_rows(links: Int[Tensor, "nodes listed"]) -> Int[Tensor, "nodes most"]:
    """Return in which rows of a batch the neighbours of each node are, -1 for those that are not in it; for `lsp`.

    Args:
        links: the number of each node, then those of its neighbours; places that are left over hold its own number.
    """
    own, others = links[:, 0].contiguous(), links[:, 1:].contiguous()
    order = own.argsort()
    place = torch.searchsorted(own[order], others).clamp_max(max(len(own) - 1, 0))
    row = order[place]
    return torch.where((own[row] == others) & (others != own[:, None]), row, -1)


def _pooled(layers: Sequence[Tensor]) -> Sequence[Float[Tensor, "batch _"]]:
    """Return the layers of a network as vectors, all at one scale."""
    vectors = [layer.flatten(2).mean(dim=2) if layer.dim() > 2 else layer for layer in layers]
    return torch.split(scaled(torch.cat(vectors, dim=1)), [layer.shape[1] for layer in vectors], dim=1)


def _edges(x: Float[Tensor, "batch width"]) -> Float[Tensor, "batch batch"]:
    squares = distances_of(x).square()
    return squares / nonzero(largest(squares))


def _transitions(
    student: Sequence[Float[Tensor, "batch _"]], teacher: Sequence[Float[Tensor, "batch _"]]
) -> list[Float[Tensor, " batch"]]:
    """Return the squared error of each step that stays in one width in both networks."""
    errors = []
    for mine, theirs in zip(itertools.pairwise(student), itertools.pairwise(teacher), strict=True):
        if all(earlier.shape == later.shape for earlier, later in (mine, theirs)):
            errors.append((_transition(*mine) - _transition(*theirs)).square())
    if not errors:
        widths = [[layer.shape[1] for layer in layers] for layers in (student, teacher)]
        raise IllegalCombination(
            f"irg finds no step between layers of one width in both networks, whose layers have {widths[0]} and {widths[1]} channels; choose "
            "other layers, or transitions=0"
        )
    return errors


def _transition(
    earlier: Float[Tensor, "batch width"], later: Float[Tensor, "batch width"]
) -> Float[Tensor, " batch"]:
    squares = (later - earlier).square().sum(dim=1)
    return squares / nonzero(largest(squares))
