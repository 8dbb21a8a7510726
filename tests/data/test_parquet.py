import base64
from pathlib import Path

import numpy as np
import pytest

from fedkd.data.parquet import read_columns

TABLE = """
    UEFSMRUEFSAVNkwVBBUAEgAAH4sIAAAAAAACA2NngIDf/yEAAK+9btEQAAAAFQAVEhU6LBUQFRAVBhUGHAAAAB+LCAAAAAAAAgNj
    YmBgEGBkZOYAAAl9lzQJAAAAFQAVjAEVXCwVEBUAFQYVBhwAAAAfiwgAAAAAAAIDY2JgYBBgZIACGIMFSnNCaQEoLQmlVaC0IZQG
    AN719gJGAAAAFQQVgAEVVEwVEBUAEgAAH4sIAAAAAAACA2NggABGKM0EpZmhNAuUZoXSbFCaHUoDAH6YOvlAAAAAFQAVMhVYLBUw
    FRAVBhUGHAAAAB+LCAAAAAAAAgNjYWBgYN+We5sJSBswM7MzCHFEOCxobGQHAPZ7ko4ZAAAAFQAVXBU+LBUQFQAVBhUGHAAAAB+L
    CAAAAAAAAgNjYmBgEGBkBJKJRBAAKo9a5i4AAAAVBBUwFTxMFQYVABIAAB+LCAAAAAAAAgNjZ0ACjAwMv/9DAAAYLHuTGAAAABUA
    FRQVPCwVCBUQFQYVBhwAAAAfiwgAAAAAAAIDY2JgYOBgZGJWYQAA4oTrbwoAAAAVABVMFUosFQgVABUGFQYcAAAAH4sIAAAAAAAC
    A2NiYGDgYHRggIBAKJ0CpSuhNACEaZBiJgAAABUEFWAVREwVDBUAEgAAH4sIAAAAAAACA+NgQAWcUJoRSnNBaW4oDQCXIUT+MAAA
    ABUAFSoVUCwVGBUQFQYVBhwAAAAfiwgAAAAAAAIDY2ZgYGDdxssEpCSYmVk9thi8ZGIAAPJegZ4VAAAAFQAVNBU+LBUIFQAVBhUG
    HAAAAB+LCAAAAAAAAgNjYmBg4GBkBJKJaAQAPCpvbRoAAAAVBBl8NQAYBnNjaGVtYRUIABUEJQIYA2ZldwAVBCUCGARtYW55ADUC
    GAVsaXN0cxUCFQZMPAAAADUEGARsaXN0FQIAFQQlAhgHZWxlbWVudAAVDCUCGAV3b3JkcyUATBwAAAAWGBksGUwmABwVBBk1AAYQ
    GRgDZmV3FQQWEBZ0FrIBJlomCCksFQQVABUCABUAFRAVAgA8KQYZJgAQAAAAJgAcFQQZJQYAGRgEbWFueRUEFhAWtAEWhAEmugFJ
    HBUAFQAVAgA8KQYZJgAQAAAAJgAcFQQZNQAGEBk4BWxpc3RzBGxpc3QHZWxlbWVudBUEFjAW9gEW8AEmsAMmvgIpLBUEFQAVAgAV
    ABUQFQIAPCkmECAZRgAAADAAAAAmABwVDBklBgAZGAV3b3JkcxUEFhAWggEWZCauBEkcFQAVABUCADwWEBkGGSYAEAAAABagBRYQ
    JggWigUAGUwmABwVBBk1AAYQGRgDZmV3FQQWCBaGARa6ASbqBSaSBSksFQQVABUCABUAFRAVAgA8KQYZJgAIAAAAJgAcFQQZJQYA
    GRgEbWFueRUEFggWchZwJswGSRwVABUAFQIAPCkGGSYACAAAACYAHBUEGTUABhAZOAVsaXN0cwRsaXN0B2VsZW1lbnQVBBYYFswB
    FtYBJpwIJrwHKSwVBBUAFQIAFQAVEBUCADwpJggQGUYAAAAYAAAAJgAcFQwZJQYAGRgFd29yZHMVBBYIFloWZCaSCUkcFQAVABUC
    ADwWCBkGGSYACAAAABaeBBYIJpIFFuQEACggcGFycXVldC1jcHAtYXJyb3cgdmVyc2lvbiAyNi4wLjEZTBwAABwAABwAABwAAAB/
    AgAAUEFSMQ==
"""
"""Two groups of rows: `few` and `lists` by a dictionary, `many` plain, `words` of letters; written by pyarrow 26."""

GAPS = """
    UEFSMRUEFSAVNEwVBBUAEgAAH4sIAAAAAAACA2NkgABmKA0AJ91czBAAAAAVABUSFTosFQYVEBUGFQYcAAAAH4sIAAAAAAACA2Ni
    YGBgZmVkZgIAEu5gfAkAAAAVBBksNQAYBnNjaGVtYRUCABUEJQIYBGdhcHMAFgYZHBkcJgAcFQQZNQAGEBkYBGdhcHMVBBYGFnQW
    sAEmWCYIKSwVBBUAFQIAFQAVEBUCADwpBhkmAgQAAAAWdBYGJggWsAEAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI2LjAu
    MRkcHAAAAIwAAABQQVIx
"""
"""A column with an empty cell."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return _file(tmp_path, TABLE)


def _file(folder: Path, text: str) -> Path:
    path = folder / "table.parquet"
    path.write_bytes(base64.b64decode("".join(text.split())))
    return path


def test_columns_are_read_as_they_were_written(table: Path) -> None:
    read = read_columns(table, ("few", "many", "lists"))
    assert read["few"].tolist() == [7, 7, 7, -5, 7, 7, 7, 7, 7, 2**40, -5, 7]
    assert read["many"].tolist() == [i * i for i in range(12)]
    assert read["lists"].tolist() == [[i, i % 2, 0] for i in range(12)]
    assert {column.dtype for column in read.values()} == {np.dtype("<i8")}


def test_what_cannot_be_read_is_said(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table\.parquet has no column length"):
        read_columns(table, ("few", "length"))
    with pytest.raises(ValueError, match="only columns of 64-bit integers"):
        read_columns(table, ("words",))
    with pytest.raises(ValueError, match="columns with gaps"):
        read_columns(_file(tmp_path, GAPS), ("gaps",))
    table.write_text("few,many")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        read_columns(table, ("few",))
