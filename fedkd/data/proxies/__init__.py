"""Public proxy sets: what clients and server can both look at.

>>> PROXIES.create({"name": "heldout", "size": 400, "labelled": False}, key="proxy")
Heldout(size=400, labelled=False, classes=None, label_noise=0.0)
"""

from fedkd.foundation.registry import Family

PROXIES = Family("proxy set", "fedkd.data.proxies", "Proxy", "fedkd.proxies")
