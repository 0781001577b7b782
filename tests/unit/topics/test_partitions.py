from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from topics.partitions import partition_of


@given(st.binary(max_size=100), st.integers(1, 1_000))
def test_a_key_lands_where_a_stock_client_puts_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
