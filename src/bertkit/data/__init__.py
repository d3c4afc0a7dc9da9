"""Read texts and examples from files, and make batches of them."""

from __future__ import annotations

from bertkit.data.texts import read_texts as read_texts
