"""MkDocs hook: links to files outside docs/ become plain text, since the built pages do not carry those files.

In the repository such links work, and tests/contracts/test_docs.py checks that each leads to a file.
"""

import posixpath
import re
from typing import Any, Final

_LINK: Final = re.compile(r"(?<!!)\[(?P<text>[^\]]+)\]\((?P<target>(?!https?:|mailto:|#)[^)]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The page's source as MkDocs renders it."""
    folder = posixpath.dirname(page.file.src_uri)

    def link(found: re.Match[str]) -> str:
        outside = posixpath.normpath(posixpath.join(folder, found["target"])).startswith("..")
        return found["text"] if outside else found[0]

    return _LINK.sub(link, markdown)
