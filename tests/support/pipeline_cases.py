"""Random calls of pipelines with tiny random models, for transformers and bertkit. They depend only on the seed.

The vocabulary has the frequent words of the sentences, and pieces of the other words.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import numpy as np
import tiny

from bertkit.config import BertConfig
from bertkit.parameters import expand

COUNT = 300
LENGTH = 64

SENTENCES = """
The old lighthouse on the northern coast was built in 1871 by Scottish engineers.
Maria Lopez moved from Lima to Zurich when she was twenty-three years old.
Plants create sugar through a process that is known as photosynthesis.
The committee will meet on Tuesday, but nobody has read the report yet.
A heavy storm closed the harbour for three days and cut off the island.
Dr. Anna Keller won the prize for her work on bacteria that eat plastic.
The train to Edinburgh leaves at 7:45 in the morning from platform nine.
I don't think that this film is worth the price of a ticket.
What a wonderful evening, and what a splendid dinner we had!
The battery lasts two hours at most, which is far too short for me.
In Kyoto the river Kamo runs from north to south through the city.
The bakery at the corner sells bread, rolls and very good apple cakes.
Microsoft and a small firm from Oslo signed the contract last Friday.
He repaired the clock with a hairpin and a good deal of patience.
Water boils at a lower temperature on top of a mountain.
The museum shows paintings by Vermeer, Hals and other Dutch masters.
My neighbour's dog barks whenever the postman comes up the stairs.
Rain is expected in the west; the east will stay dry and cold.
Ludwig van Beethoven was born in Bonn and died in Vienna in 1827.
The price of copper rose by 4.2% after the mine in Chile was closed.
She wrote her first novel in a café near the Gare du Nord.
Could you please send me the invoice for order no. 20931?
The goalkeeper saved two penalties and the team won the cup.
Bees tell each other by a dance where the flowers are.
The new bridge over the Danube is 612 metres long and has four lanes.
Nobody at the airport knew why the flight to Nairobi had been cancelled.
The soup was cold, the waiter was rude, and we shall never come back.
An unbelievable number of people queued outside the shop at dawn.
The European Union and Brazil agreed on lower tariffs for coffee.
Grandmother keeps her recipes in a tin box under the kitchen bench.
The software crashed twice while I was saving the file.
Jupiter is the largest planet of the solar system.
Tokyo (東京) has more inhabitants than any other city of Japan.
The judge refused to hear the witness again.
Their second album is louder, faster and, sadly, rather boring.
Professor Okafor teaches statistics at the University of Lagos.
The glacier has lost a third of its ice since 1950.
It was the best holiday of my life; the beach was almost empty.
A carpenter from Ghent made the doors out of local oak.
The doctor told him to drink more water and to sleep eight hours.
Sir Edmund Hillary and Tenzing Norgay reached the summit in May 1953.
Does anybody here know how to change the language of this phone?
The vaccine has to be stored at minus seventy degrees.
Fresh snow fell over Innsbruck during the night.
The orchestra played Dvořák's ninth symphony without a conductor.
The newspaper had to apologize for its misleading headline.
Copenhagen is full of bicycles, even in the rainy months.
The auditors of Deloitte found nothing unusual in the books.
""".strip().splitlines()

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
QUESTIONS = [
    "Who was born in Bonn?",
    "What was closed?",
    "Where is the river?",
    "When does the train leave?",
    "Which prize did she win?",
    "How long is the bridge?",
    "Why was the flight cancelled?",
    "Who reached the summit?",
]
TOPICS = ["travel", "food", "science", "music", "sport", "law", "weather", "money", "machines"]
NER_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]


def vocabulary() -> list[str]:
    """Return special tokens, letters, frequent words, and pieces of other words."""
    words = Counter(re.findall(r"[a-z0-9]+", " ".join([*SENTENCES, *QUESTIONS, *TOPICS]).lower()))
    whole = [word for word, count in sorted(words.items()) if count > 1 or len(word) < 5]
    rest = [word for word in sorted(words) if word not in set(whole)]
    pieces = [word[:3] for word in rest] + [f"##{word[3:6]}" for word in rest]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + list("0123456789")
    marks = list(".,;:!?'()%-")
    return list(dict.fromkeys([*SPECIAL, *marks, *letters, *("##" + letter for letter in letters), *whole, *pieces]))


MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "masked": ("ForMaskedLM", {}),
    "plain": ("Model", {}),
    "answers": ("ForQuestionAnswering", {}),
    "two": ("ForSequenceClassification", {"id2label": {0: "BAD", 1: "GOOD"}, "label2id": {"BAD": 0, "GOOD": 1}}),
    "five": ("ForSequenceClassification", {"num_labels": 5}),
    "tags": ("ForSequenceClassification", {"num_labels": 4, "problem_type": "multi_label_classification"}),
    "stars": ("ForSequenceClassification", {"num_labels": 1}),
    "number": ("ForSequenceClassification", {"num_labels": 1, "problem_type": "regression"}),
    "follows": (
        "ForSequenceClassification",
        {
            "id2label": {0: "contradiction", 1: "neutral", 2: "entailment"},
            "label2id": {"contradiction": 0, "neutral": 1, "entailment": 2},
        },
    ),
    "follows_first": (
        "ForSequenceClassification",
        {"id2label": {0: "Entailment", 1: "other"}, "label2id": {"Entailment": 0, "other": 1}},
    ),
    "names": (
        "ForTokenClassification",
        {"id2label": dict(enumerate(NER_LABELS)), "label2id": {name: i for i, name in enumerate(NER_LABELS)}},
    ),
    "parts": ("ForTokenClassification", {"num_labels": 3}),
    "choices": ("ForMultipleChoice", {}),
    "order": ("ForNextSentencePrediction", {}),
    "joint": ("ForPreTraining", {}),
    "decoder": ("LMHeadModel", {"is_decoder": True}),
}


def config(model: str) -> BertConfig:
    """Return the configuration of a model."""
    head, given = MODELS[model]
    return BertConfig(
        vocab_size=len(vocabulary()), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=LENGTH, architectures=["Bert" + head], **given,
    )  # fmt: skip


def weights(model: str) -> dict[str, np.ndarray]:
    """Return the weights of a model, scaled so that tokens have different answers and no probability is close to 1."""
    head = MODELS[model][0]
    shape = config(model)
    found = {}
    for name, parameter in expand(shape, head).items():
        normal = tiny.numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal / (8 if parameter.kind == "bias" else 2)
    return found


def case(task: str, seed: int) -> tuple[str, list[Any], dict[str, Any]]:
    """Return a random call: the model, the arguments and the options."""
    rng = random.Random(f"{task} {seed}")
    return _CASES[task](rng)


def _text(rng: random.Random, most: int = 2) -> str:
    return " ".join(rng.sample(SENTENCES, rng.randint(1, most)))


def _some(rng: random.Random, make: Any) -> Any:
    """Return one example, or a list of examples."""
    return make() if rng.random() < 0.6 else [make() for _ in range(rng.randint(1, 3))]


def _fill_mask(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    def masked() -> str:
        words = _text(rng).split(" ")
        for place in rng.sample(range(len(words)), rng.choice([1, 1, 1, 2, 3])):
            words[place] = "[MASK]" + (words[place][-1] if words[place][-1] in ".,;!?" else "")
        return " ".join(words)

    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["top_k"] = rng.choice([1, 2, 3, 8])
    if rng.random() < 0.3:
        options["targets"] = rng.sample(["the", "of", "Good", "river", "Water", "was", "7", "and"], rng.randint(1, 4))
        if rng.random() < 0.3:
            options["targets"] = options["targets"][0]
    return "masked", [_some(rng, masked)], options


def _classification(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    def example() -> Any:
        return {"text": _text(rng, 1), "text_pair": _text(rng, 1)} if rng.random() < 0.3 else _text(rng)

    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["top_k"] = rng.choice([None, 1, 2, 3])
    if rng.random() < 0.3:
        options["function_to_apply"] = rng.choice(["sigmoid", "softmax", "none"])
    return rng.choice(["two", "five", "tags", "stars", "number"]), [_some(rng, example)], options


def _tokens(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    options: dict[str, Any] = {}
    if rng.random() < 0.8:
        options["aggregation_strategy"] = rng.choice(["none", "simple", "first", "average", "max"])
    if rng.random() < 0.2:
        options["ignore_labels"] = rng.choice([[], ["O", "PER"], ["B-LOC", "I-LOC"]])
    if rng.random() < 0.3:
        options["is_split_into_words"] = True
        if rng.random() < 0.3:
            options["delimiter"] = rng.choice(["", "_"])
        return rng.choice(["names", "parts"]), [_some(rng, lambda: _text(rng).split(" "))], options
    return rng.choice(["names", "names", "parts"]), [_some(rng, lambda: _text(rng))], options


def _answers(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    options: dict[str, Any] = {}
    if rng.random() < 0.5:
        options["top_k"] = rng.choice([1, 2, 3, 5])
    if rng.random() < 0.3:
        options["handle_impossible_answer"] = True
    if rng.random() < 0.3:
        options["max_answer_len"] = rng.choice([1, 3, 8, 30])
    if rng.random() < 0.2:
        options["align_to_words"] = False

    def example() -> dict[str, str]:
        return {"question": rng.choice(QUESTIONS), "context": _text(rng)}

    if rng.random() < 0.5:
        return "answers", [], {**example(), **options}
    return "answers", [_some(rng, example)], options


def _zero_shot(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    labels: Any = rng.sample(TOPICS, rng.randint(1, 5))
    options: dict[str, Any] = {"candidate_labels": ", ".join(labels) if rng.random() < 0.3 else labels}
    if rng.random() < 0.4:
        options["multi_label"] = rng.random() < 0.8
    if rng.random() < 0.3:
        options["hypothesis_template"] = rng.choice(["It is about {}.", "{}"])
    return rng.choice(["follows", "follows_first"]), [_some(rng, lambda: _text(rng))], options


def _features(rng: random.Random) -> tuple[str, list[Any], dict[str, Any]]:
    return "plain", [" ".join(_text(rng, 1).split(" ")[:6])], {"truncation": True} if rng.random() < 0.2 else {}


_CASES = {
    "fill-mask": _fill_mask,
    "text-classification": _classification,
    "token-classification": _tokens,
    "question-answering": _answers,
    "zero-shot-classification": _zero_shot,
    "feature-extraction": _features,
}
TASKS = tuple(_CASES)
