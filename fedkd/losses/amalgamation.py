"""Layers of several teachers as one: what can be told from all of them at once, in the width of the student.

>>> loss = Amalgamation((16,), [(64,), (32,)])
>>> loss(student_features, [one_features, other_features]).backward()
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fedkd.foundation.errors import IllegalCombination
from fedkd.losses.features import hint
from fedkd.losses.reductions import Reduction
from fedkd.losses.regressors import Regressor, Shape


class Amalgamation(nn.Module):
    """An autoencoder of the teachers' layers, put side by side, and a layer that leads the student's to its code.

        z = E [h_1; ...; h_K]    L = mean |R h_S - sg(z)|^2 + rebuilding * sum_k mean |D_k z - h_k|^2

    E, D and R are 1 x 1 convolutions, or linear layers for vectors; z has the width of the student's layer. The student does not move the code
    (sg stops the gradient): that is held by the teachers alone.

    Args:
        student: shape of the student's layer.
        teachers: shapes of the teachers' layers: vectors, or maps of one size; widths may differ.
        rebuilding: weight of the autoencoder's own error.

    Raises:
        IllegalCombination: there is no teacher, the teachers' layers differ in more than their width, or the student has vectors and they maps.

    Source: Shen, Wang, Song, Sun & Song, "Amalgamating Knowledge towards Comprehensive Classification" (AAAI 2019), feature amalgamation; in the
    form of the authors' library, which learns all layers jointly with the student and leaves out the paper's stage before it, layer by layer.
    """

    def __init__(self, student: Shape, teachers: Sequence[Shape], *, rebuilding: float = 1.0) -> None:
        super().__init__()
        sizes = {tuple(shape[1:]) for shape in teachers}
        if len(sizes) != 1:
            shapes = ", ".join(str(list(shape)) for shape in teachers)
            raise IllegalCombination(
                f"teachers' layers of the shapes {shapes} do not lie side by side; tap vectors of all, or maps of one size"
            )
        size = sizes.pop()
        self.widths = [shape[0] for shape in teachers]
        self.rebuilding = rebuilding
        whole, code = (sum(self.widths), *size), (student[0], *size)
        self.encoder, self.decoder = Regressor(whole, code), Regressor(code, whole)
        self.adapter = Regressor(student, code)

    def forward(
        self,
        student: Float[Tensor, "batch ..."],
        teachers: Sequence[Float[Tensor, "batch ..."]],
        *,
        reduction: Reduction = "mean",
    ) -> Float[Tensor, "*batch"]:
        """Return the loss of a batch, or of each sample."""
        known = [layer.detach() for layer in teachers]
        code = self.encoder(torch.cat(known, dim=1))
        rebuilt = self.decoder(code).split(self.widths, dim=1)
        missing = [hint(made, true, reduction=reduction) for made, true in zip(rebuilt, known, strict=True)]
        return hint(self.adapter(student), code, reduction=reduction) + self.rebuilding * torch.stack(
            missing
        ).sum(0)
