"""Texts and examples out of files."""

from __future__ import annotations

from bertkit.data.texts import read_texts as read_texts
