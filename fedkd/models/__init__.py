"""Networks that return logits and features.

>>> model = MODELS.create({"name": "mlp", "hidden": [32]}, key="model")
>>> network = model.network((1, 8, 8), num_outputs=10)
>>> network(torch.zeros(2, 1, 8, 8)).logits.shape
torch.Size([2, 10])
"""

from fedkd.foundation.registry import Family

MODELS = Family("model", "fedkd.models", "Model", "fedkd.models")
