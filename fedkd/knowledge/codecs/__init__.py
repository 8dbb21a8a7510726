"""Codecs: how numbers become bytes, with their exact size."""

from fedkd.foundation.registry import Family

CODECS = Family("codec", "fedkd.knowledge.codecs", "Codec", "fedkd.codecs")
