"""Kinds of knowledge: what a client says about what it has learned."""

from fedkd.foundation.registry import Family

KINDS = Family("kind of knowledge", "fedkd.knowledge.kinds", "Kind", "fedkd.knowledge")
