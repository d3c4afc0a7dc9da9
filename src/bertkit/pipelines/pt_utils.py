"""Columns of datasets as inputs of pipelines, under the path of transformers."""

from __future__ import annotations

from typing import Any


class KeyDataset:
    """One column of a dataset.

    >>> list(KeyDataset([{"text": "a", "label": 1}, {"text": "b", "label": 0}], "text"))
    ['a', 'b']
    """

    def __init__(self, dataset: Any, key: str) -> None:
        self.dataset, self.key = dataset, key

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> Any:
        return self.dataset[i][self.key]


class KeyPairDataset:
    """Two columns of a dataset as pairs of texts.

    >>> KeyPairDataset([{"q": "Who?", "a": "I."}], "q", "a")[0]
    {'text': 'Who?', 'text_pair': 'I.'}
    """

    def __init__(self, dataset: Any, key1: str, key2: str) -> None:
        self.dataset, self.key1, self.key2 = dataset, key1, key2

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> dict[str, Any]:
        return {"text": self.dataset[i][self.key1], "text_pair": self.dataset[i][self.key2]}
