"""Locate the files of a model: in a folder, in a built-in model, or in a repository of the Hub.

    place = locate("google-bert/bert-base-uncased")
    place.find("model.safetensors", "pytorch_model.bin")  # the path of the first of them that exists, or None
    place.fetch("config.json")                            # the same, but raises HubError if it does not exist

For a repository, `locate` sends one request, for the commit and the list of files. `find` and `fetch` download a file of
that commit, unless the cache has it. repository.py and the modules that it imports do this; they are imported only for
names on the Hub, since huggingface_hub takes long to import. docs/security.md describes the protection from hostile servers.

`read_text` and `parse_object` read text and JSON from these files, with limits on size and depth.
"""

from bertkit.hub.place import DEFAULT_MODEL, Place, built_in_models, locate, parse_object, read_text

__all__ = ["DEFAULT_MODEL", "Place", "built_in_models", "locate", "parse_object", "read_text"]
