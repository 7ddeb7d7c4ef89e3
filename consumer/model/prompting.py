"""Makes a text fit for the model's prompt.

Pure but for the tokenizer handed in. The text is untrusted: it must not take the room of the answer, nor hold what the
model would read as a command.
"""

from typing import Final

import tokenizers

# The model's memory is 448 tokens, prompt and answer together; 30 s of fast speech are about 200. faster-whisper cuts
# hotwords and initial prompt to 223 each, which leaves nothing when there are both.
MAX_TOKENS: Final = 100

# More could not be left after cutting, and a long text would be tokenised whole first.
_MAX_CHARACTERS: Final = 2000


def fit_for_prompt(text: str | None, tokenizer: tokenizers.Tokenizer) -> str | None:
    """The beginning of `text` that makes at most `MAX_TOKENS` tokens, on one line; None when there is none.

    Whisper's special tokens are written `<|name|>`; that spelling does not get through.
    """
    if text is None:
        return None
    plain = " ".join(text[:_MAX_CHARACTERS].replace("<|", " ").replace("|>", " ").split())
    tokens = tokenizer.encode(f" {plain}", add_special_tokens=False).ids[:MAX_TOKENS]
    # A character can take several tokens; what is left of one that was cut decodes to U+FFFD.
    return str(tokenizer.decode(tokens)).strip("\ufffd ") or None
