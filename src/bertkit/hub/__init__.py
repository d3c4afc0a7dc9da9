"""A name -> local files: a folder, a file, a built-in model, or a repository of the Hub.

    place = locate("google-bert/bert-base-uncased")
    place.find("model.safetensors", "pytorch_model.bin")  # the first that is there, as a local path, or None
    place.fetch("config.json")                            # the same, and an error where it is absent

The Hub is asked once per place, for the list of its files. All of them come from one commit, each is downloaded when
it is asked for, and nothing is asked about those that the cache has. That is repository.py and what it imports, for
names on the Hub only, as huggingface_hub takes long to import. A Hub may lie: SECURITY.md says what is promised then.

What is text in these files is read by `read_text` and `parse_object`, within bounds.
"""

from bertkit.hub.place import Place, built_in_models, locate, parse_object, read_text

__all__ = ["Place", "built_in_models", "locate", "parse_object", "read_text"]
