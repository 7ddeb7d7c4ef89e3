"""What the structured inputs of several targets are made of."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


def anything() -> SearchStrategy[Any]:
    """Any value that JSON can hold, halves of surrogate pairs and numbers of no finite size included."""
    text = st.text(st.characters(), max_size=12)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | text
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=5,
    )


def json_bytes(values: SearchStrategy[Any]) -> SearchStrategy[bytes]:
    """The values as JSON, some of them in characters of their own and some in escapes."""
    return st.builds(
        lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass"),
        values,
        st.booleans(),
    )
