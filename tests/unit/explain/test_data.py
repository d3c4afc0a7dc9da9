"""The data of explanations, compared with the models, transformers, Captum and scikit-learn."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import finished_runs
import numpy as np
import pipeline_models
import pytest
import torch
import transformers

import bertkit
from bertkit import explain
from bertkit.errors import DataError, UsageError
from bertkit.explain.maps import principal

TEXT, OTHER = "The soup was cold, the waiter was rude.", "Anna moved to Zürich."
TOLERANCE = 1e-5


@cache
def theirs(name: str, kind: str) -> Any:
    cls = getattr(transformers, kind)
    return cls.from_pretrained(pipeline_models.folder(name), attn_implementation="eager").eval()


def inputs(*texts: str) -> dict[str, torch.Tensor]:
    encoded = pipeline_models.tokenizer()(*texts, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "token_type_ids")}


@pytest.mark.parametrize("text", [TEXT, "Unbelievable  Café — [MASK], 東京!\u200b \x07 Dvořák's", "", "İstanbul ΣΑΣ"])
@pytest.mark.parametrize("compat", ["fast", "slow", "google"])
def test_tokens(text: str, compat: Any) -> None:
    tokenizer = bertkit.BertTokenizerFast(pipeline_models.tokenizer().vocab, compat=compat)
    found = explain.tokens(tokenizer, text, OTHER)
    encoded = tokenizer(text, OTHER, return_offsets_mapping=True)
    assert found.tokens == tuple(encoded.tokens()) and found.ids.tolist() == encoded["input_ids"]
    assert found.types.tolist() == encoded["token_type_ids"] and found.positions.tolist() == list(range(len(found.ids)))
    assert found.offsets.tolist() == [list(offset) for offset in encoded["offset_mapping"]]
    slow = bertkit.BertTokenizer(pipeline_models.tokenizer().vocab, compat=compat)
    for word in found.words:
        if word.normalized != "[MASK]":
            assert tuple(slow.wordpiece_tokenizer.tokenize(word.normalized)) == found.tokens[word.start : word.end]
    assert [number for number, _ in enumerate(found.texts)] == [0, 1] and found.normalized[
        1
    ] == "anna moved to zurich ."


def test_words_of_a_tokenizer_that_is_not_plain(tmp_path: Path) -> None:
    """The tokenizers library normalizes texts for other rules than those of BERT."""
    plain = pipeline_models.tokenizer()
    plain.save_pretrained(tmp_path)
    file = json.loads((tmp_path / "tokenizer.json").read_text())
    own = {"type": "Replace", "pattern": {"String": "soup"}, "content": "tea"}
    file["normalizer"] = {"type": "Sequence", "normalizers": [own, file["normalizer"]]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(file))
    found = explain.tokens(str(tmp_path), "The soup")
    assert found.normalized == ("the tea",)


def test_words_beside_added_tokens() -> None:
    """The number of words alone does not tell: [MASK] would be three words, and each soupbowls one instead of two."""
    tokenizer = bertkit.BertTokenizerFast(pipeline_models.tokenizer().vocab)
    tokenizer.add_tokens(["soupbowl"])
    found = explain.tokens(tokenizer, "[MASK] soupbowlA soupbowlA")
    assert [word.text for word in found.words] == ["[MASK]", "soupbowl", "A", "soupbowl", "A"]
    assert [word.normalized for word in found.words] == ["[MASK]", "soupbowl", "a", "soupbowl", "a"]


def test_masks_are_those_of_the_models() -> None:
    words, texts = pipeline_models.tokenizer(), [TEXT, OTHER]
    config = copy.deepcopy(bertkit.BertConfig.from_pretrained(pipeline_models.folder("plain")))
    batch = words(texts, padding=True, return_tensors="pt")
    model = bertkit.BertModel(config).eval()
    weights = model(**batch, output_attentions=True).attentions[0]
    assert np.array_equal(explain.mask(words, texts).seen, (weights[:, 0] > 0).numpy())
    rows = words(texts)["input_ids"]
    packed = explain.mask(words, texts, packed=True)
    lengths = [len(row) for row in rows]
    each = model(torch.tensor([*rows[0], *rows[1]]), lengths=lengths, output_attentions=True).attentions[0]
    assert np.array_equal(packed.seen[0], torch.block_diag(*(one[0] > 0 for one in each)).numpy().astype(bool))
    assert packed.positions[0].tolist() == [*range(lengths[0]), *range(lengths[1])]
    config.is_decoder = config.add_cross_attention = True
    decoder = bertkit.BertLMHeadModel(config).eval()
    sources = words([OTHER, "Rain."], padding=True, return_tensors="pt")
    states = torch.randn(2, sources["input_ids"].shape[1], config.hidden_size)
    output = decoder(
        batch["input_ids"], batch["attention_mask"], encoder_hidden_states=states,
        encoder_attention_mask=sources["attention_mask"], output_attentions=True,
    )  # fmt: skip
    assert np.array_equal(explain.mask(words, texts, causal=True).seen, (output.attentions[0][:, 0] > 0).numpy())
    cross = explain.mask(words, texts, sources=[OTHER, "Rain."])
    assert cross.kind == "cross" and np.array_equal(cross.seen, (output.cross_attentions[0][:, 0] > 0).numpy())
    both = explain.mask(words, texts, packed=True, causal=True)
    assert both.kind == "packed causal" and np.array_equal(both.seen, np.tril(packed.seen))


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_is_that_of_the_model(implementation: str) -> None:
    """Also where attention is fused, the weights are those of the model, and of transformers."""
    model = bertkit.BertForSequenceClassification.from_pretrained(
        pipeline_models.folder("two"), attn_implementation=implementation
    )
    found = explain.attention(model.train(), TEXT, OTHER, tokenizer=pipeline_models.tokenizer())
    assert model.training and not model.eval().training
    with torch.no_grad():
        own = torch.stack(model(**inputs(TEXT, OTHER), output_attentions=True).attentions)[:, 0].numpy()
        their = torch.stack(
            theirs("two", "BertForSequenceClassification")(**inputs(TEXT, OTHER), output_attentions=True).attentions
        )
    assert np.array_equal(found.weights, own) and np.abs(found.weights - their[:, 0].numpy()).max() < TOLERANCE
    assert found.weights.sum(-1) == pytest.approx(np.ones(found.weights.shape[:3]), abs=1e-5)
    part = explain.attention(pipeline_models.folder("two"), TEXT, OTHER, layers=[1], heads=[1, 0])
    assert np.abs(part.weights - own[[1]][:, [1, 0]]).max() < TOLERANCE and (part.layers, part.heads) == ((1,), (1, 0))


def test_attention_of_pruned_heads() -> None:
    model = bertkit.BertForSequenceClassification.from_pretrained(pipeline_models.folder("two"))
    model.prune_heads({0: [1]})
    found = explain.attention(model, TEXT, tokenizer=pipeline_models.tokenizer(), layers=[0])
    assert found.weights.shape[1] == 1 and found.heads == (0,)
    with pytest.raises(UsageError, match=r"pruned.*type layers=\[0\]"):
        explain.attention(model, TEXT, tokenizer=pipeline_models.tokenizer())


def test_the_mode_of_each_part_is_kept() -> None:
    """A user may train a head on a body in evaluation mode."""
    model = bertkit.BertForSequenceClassification.from_pretrained(pipeline_models.folder("two")).train()
    model.bert.eval()
    explain.attention(model, TEXT, tokenizer=pipeline_models.tokenizer())
    assert model.training and model.classifier.training and not any(part.training for part in model.bert.modules())


def test_patterns_of_heads() -> None:
    length, special = 4, np.array([True, False, False, True])
    shapes = {
        "previous": np.eye(length, k=-1) + np.eye(length)[0] * np.eye(length)[:, :1],
        "next": np.eye(length, k=1),
        "itself": np.eye(length),
        "[SEP]": np.outer(np.ones(length), np.eye(length)[3]),
        "": np.full((length, length), 1 / length),
    }
    weights = np.stack(list(shapes.values()))[None].astype(np.float32)
    found = explain.Attention("tiny", ("[CLS]", "a", "b", "[SEP]"), special, (0,), tuple(range(5)), weights)
    assert [pattern.name for pattern in found.patterns[0]] == list(shapes)
    assert found.patterns[0][3].share == 1 and str(found.patterns[0][4]) == "no pattern"


CASES = {
    "label": ("two", "BertForSequenceClassification", (TEXT, OTHER), "GOOD"),
    "answer": ("answers", "BertForQuestionAnswering", ("Who moved?", OTHER), "moved to"),
    "word": ("masked", "BertForMaskedLM", ("The [MASK] was cold.",), "train"),
}


def scores(case: str, output: Any) -> torch.Tensor:
    """The scores [n] of the target of a case, from the output of any of the two libraries."""
    if case == "label":
        return output.logits[:, 1]
    if case == "word":
        return output.logits[:, 2, pipeline_models.tokenizer().vocab["train"]]
    row = pipeline_models.tokenizer()("Who moved?", OTHER).encodings[0]
    at = row.spans[1][0]
    first, last = at + 1, at + 3
    assert row.tokens[first : last + 1] == ["mov", "##ed", "to"]
    return output.start_logits[:, first] + output.end_logits[:, last]


@pytest.mark.parametrize("case", CASES)
def test_integrated_gradients_are_complete(case: str) -> None:
    name, _, texts, target = CASES[case]
    found = explain.attribution(pipeline_models.folder(name), *texts, target=target)
    difference = found.score - (found.baseline_score or 0)
    assert abs(difference) > 1e-2 and target.split()[0] in found.target
    assert found.is_complete and found.error == abs(found.values.sum() - difference) <= max(
        0.01 * abs(difference), 1e-4
    )
    exact = explain.attribution(pipeline_models.folder(name), *texts, target=target, steps=512)
    assert exact.values.sum() == pytest.approx(difference, abs=1e-4) and exact.steps == 512
    special = np.isin(found.tokens, ["[CLS]", "[SEP]", "[MASK]"])
    assert not found.values[special].any() and np.abs(found.values[~special]).min() > 0
    rough = explain.attribution(pipeline_models.folder(name), *texts, target=target, steps=1)
    assert not rough.is_complete and "Pass more steps than 1." in str(rough) and rough.steps == 1 < (found.steps or 0)


def test_an_unknown_word_has_an_attribution() -> None:
    found = explain.attribution(pipeline_models.folder("two"), "The soup was 東.", target="GOOD")
    assert found.tokens[4] == "[UNK]" and found.values[4] != 0 and found.is_complete


@pytest.mark.parametrize("case", CASES)
def test_attention_times_gradient(case: str) -> None:
    name, kind, texts, target = CASES[case]
    found = explain.attribution(pipeline_models.folder(name), *texts, target=target, method="attention-gradient")
    output = theirs(name, kind)(**inputs(*texts), output_attentions=True)
    score = scores(case, output)[0]
    gradients = torch.autograd.grad(score, output.attentions)
    expected = sum((a * g)[0].sum((0, 1)) for a, g in zip(output.attentions, gradients, strict=True))
    assert isinstance(expected, torch.Tensor)
    assert np.abs(found.values - expected.detach().numpy()).max() < TOLERANCE
    assert found.score == pytest.approx(float(score.detach()), abs=TOLERANCE) and found.error is None


@pytest.mark.filterwarnings("ignore")  # those of Captum
@pytest.mark.parametrize("case", CASES)
def test_integrated_gradients_equal_those_of_captum(case: str) -> None:
    captum = pytest.importorskip(
        "captum.attr", reason="Captum is not installed: pip install captum", exc_type=ImportError
    )
    name, kind, texts, target = CASES[case]
    model, given, words = theirs(name, kind), inputs(*texts), pipeline_models.tokenizer()
    kept = [number for number in words.all_special_ids if number != words.unk_token_id]
    special = torch.isin(given["input_ids"], torch.tensor(kept))
    baseline = torch.where(special, given["input_ids"], words.pad_token_id)

    def score(ids: torch.Tensor) -> torch.Tensor:
        return scores(case, model(ids, token_type_ids=given["token_type_ids"].expand(len(ids), -1)))

    explainer = captum.LayerIntegratedGradients(score, model.get_input_embeddings())
    expected = explainer.attribute(given["input_ids"], baselines=baseline, n_steps=64).sum(-1)[0].detach().numpy()
    found = explain.attribution(pipeline_models.folder(name), *texts, target=target, steps=64)
    assert np.abs(found.values - expected).max() < 1e-4 and np.abs(expected).max() > 1e-2


def test_the_best_target_is_that_of_the_pipelines() -> None:
    (best,) = bertkit.pipeline("text-classification", pipeline_models.folder("two"))(TEXT)
    assert explain.attribution(pipeline_models.folder("two"), TEXT, steps=1).target == f"the label {best['label']}"
    (word, *_) = bertkit.pipeline("fill-mask", pipeline_models.folder("masked"))("The [MASK] was cold.")
    found = explain.attribution(pipeline_models.folder("masked"), "The [MASK] was cold.", steps=1)
    assert found.target == f"the word {word['token_str']!r}"
    pipe = bertkit.pipeline("question-answering", pipeline_models.folder("answers"), align_to_words=False)
    answer = pipe(question="Who moved?", context=OTHER)["answer"]
    assert explain.attribution(pipe, "Who moved?", OTHER, steps=1).target == f"the answer {answer!r}"
    pad, mask = (explain.attribution(pipeline_models.folder("two"), TEXT, baseline=name) for name in (None, "[MASK]"))
    assert (
        mask.is_complete and pad.is_complete and mask.baseline_score != pad.baseline_score and mask.score == pad.score
    )


def test_a_piece_may_be_the_target() -> None:
    """The best word may be a piece, whose name is then shown, and can be typed."""
    found = explain.attribution(pipeline_models.folder("masked"), "The [MASK] was cold.", target="##ed", steps=1)
    assert found.target == "the word '##ed'"


def test_embeddings_of_texts() -> None:
    from sklearn.decomposition import PCA

    texts = [TEXT, OTHER, "The train leaves at 7:45.", "Rain is expected.", "The soup was cold."]
    found = explain.embeddings(pipeline_models.folder("plain"), texts, neighbours=2)
    vectors = bertkit.pipeline("feature-extraction", pipeline_models.folder("plain"), pooling="auto")(texts)
    assert np.abs(found.vectors - np.array(vectors)).max() < TOLERANCE
    oracle = PCA(2, svd_solver="full").fit(found.vectors)
    assert np.abs(np.abs(found.places) - np.abs(oracle.transform(found.vectors))).max() < 1e-4
    assert found.explained == pytest.approx(oracle.explained_variance_ratio_, abs=1e-5)
    units = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    assert np.abs(found.similarity - cosines).max() < TOLERANCE
    np.fill_diagonal(cosines, -2)
    assert [[texts.index(one.name) for one in near] for near in found.neighbours] == np.argsort(-cosines)[
        :, :2
    ].tolist()
    places, shares = principal(np.ones((3, 4), np.float32))
    assert not places.any() and not shares.any()


def test_embeddings_of_words() -> None:
    found = explain.embeddings(pipeline_models.folder("masked"), ["soup", "photosynthesis"], words=True, neighbours=4)
    words, table = (
        pipeline_models.tokenizer(),
        theirs("masked", "BertForMaskedLM").get_input_embeddings().weight.detach().numpy(),
    )
    ids = words("photosynthesis", add_special_tokens=False)["input_ids"]
    assert len(ids) > 1 and np.abs(found.vectors[1] - table[ids].mean(0)).max() < TOLERANCE
    units = table / np.linalg.norm(table, axis=1, keepdims=True)
    order = [words.convert_ids_to_tokens(int(n)) for n in np.argsort(-(units @ units[words.vocab["soup"]]))]
    kept = [name for name in order if name not in (*words.all_special_tokens, "soup")]
    assert [one.name for one in found.neighbours[0]] == kept[:4]
    assert found.count == 2 and set(found.names[2:]) == {one.name for near in found.neighbours for one in near}


def test_the_worst_mistakes_of_a_run(tmp_path: Path) -> None:
    folder = finished_runs.write(tmp_path / "run", "two labels")
    lines = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
    wrong = sorted((line["score"] for line in lines if not line["correct"]), reverse=True)
    found = explain.training(folder)
    assert [one.score for one in found.worst] == wrong and "accuracy" in str(found)
    with pytest.raises(DataError, match="run.json does not exist"):
        explain.training(tmp_path)


def test_invalid_arguments_are_refused() -> None:
    words, folder = pipeline_models.tokenizer(), pipeline_models.folder
    for call, sentence in (
        (lambda: explain.mask(words, []), r"texts is \[\]"),
        (lambda: explain.mask(words, ["a"], causal=True, sources=["b"]), "leave causal=True out"),
        (lambda: explain.mask(words, ["a", "b"], sources=["b"]), "pass one source for each text"),
        (lambda: explain.attention(folder("two"), TEXT, layers=[2]), r"the model has layers 0 to 1"),
        (lambda: explain.attention(folder("two"), TEXT, heads=[]), r"the model has heads 0 to 1"),
        (
            lambda: explain.attention(folder("two"), TEXT, layers=1),  # type: ignore[arg-type]
            r"layers is 1 \(int\).*Type for example layers=\[0\]",
        ),
        (lambda: explain.attention(folder("two"), TEXT, heads=[True]), r"heads is \[True\]"),
        (lambda: explain.attention(folder("two"), "soup " * 100), "takes at most 64: pass a shorter text"),
        (
            lambda: explain.attribution(folder("names"), TEXT),
            "a BertForTokenClassification, and attributions need a Bert",
        ),
        (lambda: explain.attribution(folder("two"), TEXT, target="GOD"), "Did you mean 'GOOD'"),
        (lambda: explain.attribution(folder("two"), TEXT, steps=0), "steps=0 is not an integer"),
        (lambda: explain.attribution(folder("two"), TEXT, method="saliency"), "method='saliency' is invalid"),  # type: ignore[arg-type]
        (lambda: explain.attribution(folder("two"), TEXT, baseline="nothing"), "is not in the vocabulary"),
        (
            lambda: explain.attribution(folder("two"), TEXT, baseline="a", method="attention-gradient"),
            "attention-gradient has no baseline",
        ),
        (lambda: explain.attribution(folder("answers"), "Who?"), "A question needs the text with its answer"),
        (lambda: explain.attribution(folder("answers"), "Who?", OTHER, target="Rome"), "is not in the text"),
        (lambda: explain.attribution(folder("masked"), TEXT), r"has no \[MASK\]"),
        (lambda: explain.attribution(folder("masked"), "A [MASK].", target="photosynthesis"), "is not one token"),
        (lambda: explain.embeddings(folder("plain"), ["one"]), "pass two texts or more"),
        (lambda: explain.embeddings(folder("plain"), ["one", "two"], neighbours=-1), "neighbours=-1 is not an integer"),
        (
            lambda: explain.embeddings(bertkit.pipeline("fill-mask", folder("masked")), ["one", "two"]),
            "must be that of",
        ),
        (lambda: explain.attention(object(), TEXT), "pass a name, a folder, a BERT"),
        (lambda: explain.tokens(words, ["a", "b"]), r"text is \['a', 'b'\] \(list\): pass one text"),  # type: ignore[arg-type]
        (lambda: explain.attention(folder("two"), TEXT, ["b"]), r"pair is \['b'\]"),  # type: ignore[arg-type]
        (lambda: explain.attribution(folder("two"), TEXT, target=1), "target=1 is not a text"),  # type: ignore[arg-type]
        (lambda: explain.attribution(folder("two"), TEXT, steps=1500), "steps=1500 is more than 1,024"),
        (lambda: explain.attribution(folder("answers"), "Who?", ""), "has no words"),
        (lambda: explain.attribution(folder("answers"), "Who?", " \u200b"), "has no words"),
        (lambda: explain.mask(words, None), r"texts is None"),  # type: ignore[arg-type]
        (lambda: explain.mask(words, "soup " * 10_000), "100,040,004 pairs of positions, more than 100,000,000"),
        (lambda: explain.embeddings(folder("masked"), 3, words=True), r"texts is 3"),  # type: ignore[arg-type]
        (lambda: explain.embeddings(folder("masked"), ["\u200b"], words=True), r"no tokens for '\\u200b'"),
        (lambda: explain.embeddings(folder("masked"), ["soup", "\U0001f996"], words=True), r"which is \[UNK\]"),
        (
            lambda: explain.embeddings(folder("masked"), ["soup"], words=True, neighbours=51),
            "51 neighbours, more than 50",
        ),
        (lambda: explain.embeddings(folder("plain"), ["a"] * 10_001), "10,001 texts, more than 10,000"),
    ):
        with pytest.raises(UsageError, match=sentence):
            call()
