"""Knowledge: what crosses the wire, as typed packages with ids and counts, and the codecs that turn them into bytes."""

from fedkd.knowledge.codecs import CODECS
from fedkd.knowledge.kinds import KINDS
from fedkd.knowledge.package import ABOUT, ARRAYS, BadPackage, Package, from_records, to_records

__all__ = ["ABOUT", "ARRAYS", "CODECS", "KINDS", "BadPackage", "Package", "from_records", "to_records"]
