"""Masks of every kind, packed tokens, weights on request."""

import pytest
import torch
from torch_models import LENGTHS, batch, furthest, ours, settings, theirs

import bertkit
from bertkit import batch_invariant
from bertkit.errors import UsageError
from bertkit.models.torch.packing import Packed, Rectangle, arrange, flash

TOLERANCE = 1e-5


@pytest.mark.parametrize("kind", ["right", "left", "holes", "bool", "float"])
def test_padding_may_lie_anywhere(kind: str) -> None:
    ids, mask = batch()
    if kind == "left":
        mask = mask.flip(1)
    if kind == "holes":
        mask = torch.randint(0, 2, mask.shape, generator=torch.Generator().manual_seed(3))
        mask[:, 3] = 1
    given = {"bool": mask.bool(), "float": mask.float()}.get(kind, mask)
    got = ours("BertModel")(ids, given).last_hidden_state
    expected = theirs("BertModel")(ids, mask).last_hidden_state
    assert furthest(got[mask.bool()], expected[mask.bool()]) < TOLERANCE
    assert got[mask == 0].count_nonzero() == 0


def test_left_padding_pools_the_first_real_token() -> None:
    ids, mask = batch()
    model = ours("BertModel")
    positions = torch.arange(17).expand(5, 17)
    left = torch.stack([row.roll(17 - n) for row, n in zip(ids, LENGTHS, strict=True)])
    places = torch.stack([row.roll(17 - n) for row, n in zip(positions, LENGTHS, strict=True)])
    moved = model(left, mask.flip(1), position_ids=places)
    assert furthest(moved.pooler_output, model(ids, mask).pooler_output) < TOLERANCE


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("sides", [3, 4])
def test_masks_of_pairs_of_positions(implementation: str, sides: int) -> None:
    ids, _ = batch()
    mask = torch.randint(0, 2, (5, 17, 17), generator=torch.Generator().manual_seed(4))
    mask[:, :, 0] = 1
    model = ours("BertModel")
    model.set_attn_implementation(implementation)
    added = (1.0 - mask[:, None]) * torch.finfo(torch.float32).min
    expected = theirs("BertModel")(ids, added).last_hidden_state
    for kind in (mask, mask.bool(), mask.float(), added[:, 0], (1 - mask) * -torch.inf, (1 - mask) * -1e4):
        kind = kind.nan_to_num(nan=0.0, neginf=-torch.inf) if kind.is_floating_point() else kind
        got = model(ids, kind if sides == 3 else kind[:, None]).last_hidden_state
        assert furthest(got, expected) < TOLERANCE


@pytest.mark.parametrize("name", ["BertModel", "BertLMHeadModel"])
def test_a_mask_may_be_what_is_added_to_scores(name: str) -> None:
    ids, mask = batch()
    lowest = torch.finfo(torch.float32).min
    model, their, real = ours(name), theirs(name), mask.bool()
    added = (1.0 - mask[:, None, None]) * lowest
    expected = their(ids, attention_mask=added, use_cache=False)[0]
    assert furthest(model(ids, added, use_cache=False)[0][real], expected[real]) < TOLERANCE
    nothing = torch.zeros(5, 1, 17, 17)
    assert furthest(model(ids, nothing)[0], their(ids, attention_mask=nothing, use_cache=False)[0]) < TOLERANCE
    assert torch.equal(model(ids, (1.0 - mask) * lowest)[0], model(ids, mask)[0])
    with pytest.raises(UsageError, match=r"numbers such as -0.5: it takes 1 and 0"):
        model(ids, nothing - 0.5)


def test_a_mask_of_the_encoder_may_be_what_is_added_to_scores() -> None:
    ids, _ = batch()
    model = ours("BertLMHeadModel", add_cross_attention=True)
    states, mask = torch.ones(5, 3, 32), torch.tensor([[1.0, 1, 0]]).repeat(5, 1)
    logits = [
        model(ids, encoder_hidden_states=states, encoder_attention_mask=given).logits
        for given in (mask, mask.long(), (1 - mask) * -1e9)
    ]
    assert torch.equal(logits[0], logits[1]) and torch.equal(logits[0], logits[2])


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_of_padding_gives_zeros(dtype: torch.dtype, implementation: str) -> None:
    ids, mask = batch()
    mask[1] = 0
    model = ours("BertModel").to(dtype)
    model.set_attn_implementation(implementation)
    for given in (mask, torch.zeros_like(mask)):
        output = model(ids, given, output_attentions=True)
        for value in (output.last_hidden_state, output.pooler_output, *output.attentions):
            assert value.isfinite().all()
            assert value[1].count_nonzero() == 0


def test_packed_tokens_give_what_the_rectangle_gives() -> None:
    ids, mask = batch()
    model = ours("BertModel")
    flat, real = ids[mask.bool()], mask.bool()
    expected = model(ids, mask, output_hidden_states=True, output_attentions=True)
    for lengths in (list(LENGTHS), torch.tensor(LENGTHS)):
        got = model(flat, lengths=lengths, output_hidden_states=True, output_attentions=True)
        assert furthest(got.last_hidden_state, expected.last_hidden_state[real]) < TOLERANCE
        assert furthest(got.pooler_output, expected.pooler_output) < TOLERANCE
        assert furthest(got.hidden_states[1], expected.hidden_states[1][real]) < TOLERANCE
        for row, length in enumerate(LENGTHS):
            assert furthest(got.attentions[2][row], expected.attentions[2][row, :, :length, :length]) < TOLERANCE


def test_packed_tokens_may_hold_empty_sequences() -> None:
    model = ours("BertModel")
    ids = torch.tensor([5, 6, 7])
    got = model(ids, lengths=[0, 1, 0, 2])
    assert furthest(got.last_hidden_state[1:], model(ids[None, 1:]).last_hidden_state[0]) < TOLERANCE
    assert got.pooler_output[[0, 2]].count_nonzero() == 0
    assert got.pooler_output[[1, 3]].count_nonzero() == 64
    assert model(ids[:0], lengths=[0, 0]).pooler_output.shape == (2, 32)


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertForTokenClassification", "BertLMHeadModel"])
def test_packed_labels(name: str) -> None:
    ids, mask = batch()
    real = mask.bool()
    labels = (ids % 3).masked_fill(~real, -100) if "Token" in name else ids.masked_fill(~real, -100)
    model = ours(name)
    got = model(ids[real], labels=labels[real], lengths=LENGTHS)
    expected = theirs(name)(ids, mask, labels=labels)
    assert abs(got.loss - expected.loss) < TOLERANCE
    assert furthest(got.logits, expected.logits[real]) < TOLERANCE


def test_packed_questions_and_choices() -> None:
    ids, mask = batch()
    real = mask.bool()
    model = ours("BertForQuestionAnswering")
    starts, ends = torch.tensor([3, 0, 8, 2, 9]), torch.tensor([5, 2, 8, 8, 9])
    got = model(ids[real], start_positions=starts, end_positions=ends, lengths=LENGTHS)
    one_by_one = []
    for row, length in enumerate(LENGTHS[:4]):
        one_by_one.append(
            model(ids[row : row + 1, :length], start_positions=starts[row, None], end_positions=ends[row, None]).loss
        )
    assert abs(got.loss - sum(one_by_one) / 4) < TOLERANCE  # the last row is of one token, and its answer beyond that
    chooser = ours("BertForMultipleChoice")
    choices = chooser(ids[:4].view(2, 2, 17), mask[:4].view(2, 2, 17)).logits
    packed = chooser(ids[:4][real[:4]], lengths=torch.tensor(LENGTHS[:4]).view(2, 2)).logits
    assert furthest(packed, choices) < TOLERANCE


def test_attention_weights_of_some_layers_change_nothing_else() -> None:
    ids, mask = batch()
    model = ours("BertModel")
    without, whole = model(ids, mask), model(ids, mask, output_attentions=True)
    some = model(ids, mask, output_attentions=[0, 2])
    assert furthest(without.last_hidden_state, whole.last_hidden_state) < 1e-6  # attention is written out for them
    assert furthest(without.last_hidden_state, some.last_hidden_state) < 1e-6
    assert [weights is None for weights in some.attentions] == [False, True, False]
    assert furthest(some.attentions[2], whole.attentions[2]) < 1e-6
    last = model(ids, mask, output_attentions=[-1, -3])
    assert all(torch.equal(last.attentions[i], some.attentions[i]) for i in (0, 2)) and last.attentions[1] is None


def test_the_same_sentence_gives_the_same_bits_in_any_batch() -> None:
    model = ours("BertForPreTraining", hidden_size=96, intermediate_size=384)
    ids, mask = batch()
    wide = torch.nn.functional.pad(ids, (0, 13)), torch.nn.functional.pad(mask, (0, 13))
    with torch.no_grad(), batch_invariant():
        whole, wider = model(ids, mask), model(*wide)
        for row, length in enumerate(LENGTHS):
            alone = model(ids[row : row + 1, :length])
            for output in (whole, wider):
                assert torch.equal(output.prediction_logits[row, :length], alone.prediction_logits[0])
                assert torch.equal(output.seq_relationship_logits[row], alone.seq_relationship_logits[0])


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["BertModel", "BertLMHeadModel", "BertForQuestionAnswering"])
def test_the_same_bits_by_every_way_that_is_not_refused(name: str, implementation: str) -> None:
    model = ours(name, hidden_size=96, intermediate_size=384, max_position_embeddings=160)
    model.set_attn_implementation(implementation)
    lengths = (150, 9, 33, 33, 1, 64)
    more = {"use_cache": False} if name == "BertLMHeadModel" else {}
    mask = (torch.arange(150) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(1, 50, mask.shape, generator=torch.Generator().manual_seed(0)) * mask
    with torch.no_grad(), batch_invariant():
        whole = model(ids, mask, **more)[0]
        packed = model(ids[mask.bool()], lengths=lengths)[0].split(lengths)
        for row, length in enumerate(lengths):
            one = model(ids[row : row + 1, :length])[0][0]  # a decoder begins a cache
            assert torch.equal(whole[row, :length], one)
            assert torch.equal(packed[row], one)


def test_inputs_without_batch_invariance_are_refused() -> None:
    ids, mask = batch()
    base, spans, words = ours("BertModel"), ours("BertForQuestionAnswering"), ours("BertForMaskedLM")
    decoder, crossed = ours("BertLMHeadModel"), ours("BertLMHeadModel", add_cross_attention=True)
    relative = bertkit.BertModel(bertkit.BertConfig(**settings("BertModel", position_embedding_type="relative_key")))
    encoder = {"encoder_hidden_states": torch.zeros(5, 3, 32), "encoder_attention_mask": torch.ones(5, 3)}
    answers = torch.zeros(5).long()
    for call in (
        lambda: relative(ids, mask),
        lambda: base(ids, mask[:, None] * mask[:, :, None]),
        lambda: decoder.eval()(ids, mask),
        lambda: crossed(ids, **encoder),
        lambda: words(ids, mask, labels=ids),
        lambda: spans(ids, mask, start_positions=answers, end_positions=answers),
    ):
        call()
        with (
            batch_invariant(),
            pytest.raises(UsageError, match=r"leave padding out with lengths=..., pass use_cache=False"),
        ):
            call()


def test_dropout_has_the_right_statistics_and_a_seed() -> None:
    model = ours("BertModel", num_hidden_layers=1)
    for dropout in (module for module in model.modules() if isinstance(module, torch.nn.Dropout)):
        dropout.p = 0.1
    model.train()
    ids = torch.randint(1, 50, (64, 40), generator=torch.Generator().manual_seed(0))
    torch.manual_seed(5)
    once = model(ids).last_hidden_state
    torch.manual_seed(5)
    assert torch.equal(once, model(ids).last_hidden_state)
    assert not torch.equal(once, model(ids).last_hidden_state)
    seen = []
    model.embeddings.dropout.register_forward_hook(lambda module, given, output: seen.append((given[0], output)))
    model(ids)
    given, output = seen[0]
    kept = output != 0
    assert abs(kept.float().mean() - 0.9) < 0.01
    assert furthest(output[kept], given[kept] / 0.9) < TOLERANCE


def outputs_of(module: torch.nn.Module) -> list[torch.Tensor]:
    """The states that a part of attention puts out from now on, before its weights."""
    outputs: list[torch.Tensor] = []
    module.register_forward_hook(lambda module, given, output: outputs.append(output[0].detach()))
    return outputs


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_dropout_keeps_the_mean(implementation: str) -> None:
    model = ours("BertModel", num_hidden_layers=1)
    ids, mask = batch()
    exact = outputs_of(model.encoder.layer[0].attention.self)
    model(ids, mask)
    noisy = ours("BertModel", num_hidden_layers=1).train()
    noisy.encoder.layer[0].attention.self.dropout.p = 0.3
    noisy.set_attn_implementation(implementation)
    contexts = outputs_of(noisy.encoder.layer[0].attention.self)
    with torch.no_grad():
        for _ in range(400):
            noisy(ids, mask)
    assert (torch.stack(contexts).mean(0) - exact[0]).abs().mean() < 0.05 * exact[0].abs().mean()
    assert not torch.equal(contexts[0], contexts[1])


def test_wrong_input_is_refused_with_a_sentence() -> None:
    model = ours("BertModel")
    ids, mask = batch()
    for call, sentence in [
        (lambda: model(), "input_ids or inputs_embeds"),
        (lambda: model(ids[0]), r"\[batch, length\], not \[17\]"),
        (lambda: model(ids, mask[:, :5]), r"attention_mask has the shape \[5, 5\]"),
        (lambda: model(ids, mask, lengths=LENGTHS), "leave out attention_mask"),
        (lambda: model(ids[0], lengths=[3, 3]), r"shape \[6\]"),
        (lambda: model(ids, output_attentions=[7]), "0 to 2"),
        (lambda: model(ids + 50), "not one of the 50 words.*resize_token_embeddings"),
        (lambda: model(ids, token_type_ids=ids), "not one of the 2 token types"),
        (
            lambda: model(ids.repeat(1, 3)),
            r"50 is not one of the 40 positions: shorten the text, tokenizer\(..., truncation=True\)",
        ),
        (lambda: model(ids, head_mask=torch.ones(3)), r"must be a tensor \[4\] or \[3, 4\]"),
        (lambda: model(ids, encoder_hidden_states=torch.zeros(5, 3, 32)), "add_cross_attention=True"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            call()


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "BertLMHeadModel", "BertForPreTraining", "BertForTokenClassification"]
)
def test_labels_of_another_shape_are_refused(name: str) -> None:
    model = ours(name)
    ids, mask = batch()
    words = ids % 3
    more = {"next_sentence_label": torch.ones(5).long()} if name == "BertForPreTraining" else {}
    for given in (words[:, :8], words[:2], words.T, words[:1], words.flatten()):
        for seen in (None, torch.ones_like(mask), mask):
            with pytest.raises(UsageError, match=r"labels have the shape .* need that of the tokens, \[5, 17\]"):
                model(ids, seen, labels=given, **more)
    with pytest.raises(UsageError, match=r"tokens, \[9\]"):
        model(ids.flatten()[:9], labels=ids.flatten()[:27], lengths=[4, 5], **more)
    loss = theirs(name)(ids, labels=words, **more).loss
    assert abs(model(ids, labels=words, **more).loss - loss) < TOLERANCE


def test_input_of_another_kind_or_shape_is_refused() -> None:
    model, decoder = ours("BertModel"), ours("BertLMHeadModel", add_cross_attention=True)
    ids, mask = batch()
    flat, states = ids.flatten(), torch.zeros(5, 3, 32)
    for call, sentence in [
        (lambda: model(ids.tolist()), r"input_ids is a list, .*torch.tensor\(input_ids\)"),
        (lambda: model(ids.numpy()), "input_ids is a ndarray"),
        (lambda: model(ids.float()), r"input_ids are of torch.float32, .*input_ids.long\(\)"),
        (lambda: model(ids, mask.tolist()), "attention_mask is a list"),
        (lambda: model(ids, token_type_ids=torch.zeros(5, 17)), "token_type_ids are of torch.float32"),
        (lambda: model(ids, mask, token_type_ids=ids[:, :8]), r"token_type_ids have the shape \[5, 8\]"),
        (lambda: model(ids, mask, position_ids=torch.zeros(2, 17).long()), r"position_ids have the shape \[2, 17\]"),
        (lambda: model(inputs_embeds=torch.zeros(5, 17, 1)), r"inputs_embeds is 1, and must be hidden_size, 32"),
        (lambda: model(ids[:0]), r"\[0, 17\] has no tokens"),
        (lambda: model(ids[:, :0], mask[:, :0]), r"\[5, 0\] has no tokens"),
        (lambda: model(ids, output_attentions=1), "True, False, or numbers of layers"),
        (lambda: model(ids, head_mask=[1, 1, 1, 1]), r"head_mask is \[1, 1, 1, 1\]"),
        (lambda: model(flat, lengths=85), "whole numbers, one for each sequence"),
        (lambda: model(flat, lengths=[42.5, 42.5]), "whole numbers, one for each sequence"),
        (lambda: model(flat, lengths=torch.tensor([[80, 5]])), "whole numbers, one for each sequence"),
        (lambda: decoder(flat, lengths=[80, 5], use_cache=True), "A cache requires padded input"),
        (lambda: decoder(flat, lengths=[85], past_key_values=()), "A cache requires padded input"),
        (
            lambda: decoder(ids, encoder_hidden_states=states[:2]),
            r"are \[2, 3, 32\], and must be a tensor \[5, length, 32\]",
        ),
        (
            lambda: decoder(ids, encoder_hidden_states=states, encoder_attention_mask=mask),
            r"encoder_attention_mask is \[5, 17\], and must be a tensor \[5, 3\]",
        ),
    ]:
        with pytest.raises(UsageError, match=sentence):
            call()


def test_invalid_labels_are_refused() -> None:
    ids, mask = batch()
    words, rows = ours("BertForMaskedLM"), ours("BertForSequenceClassification", problem_type=None)
    pairs, spans, choices = ours("BertForPreTraining"), ours("BertForQuestionAnswering"), ours("BertForMultipleChoice")
    several = ours("BertForSequenceClassification", problem_type="multi_label_classification")
    numbers = ours("BertForSequenceClassification", problem_type="regression")
    for call, sentence in [
        (
            lambda: words(ids, mask, labels=ids.masked_fill(mask == 0, -100) + 12 * mask),
            r"1\d to 5\d, and must be 0 to 49, or -100",
        ),
        (lambda: words(ids, labels=ids.float()), r"of torch.float32.*labels.long\(\)"),
        (lambda: words(ids, labels=ids.tolist()), "labels is a list"),
        (lambda: rows(ids, labels=torch.tensor([0, 1, 3, 0, 0])), "0 to 3, and must be 0 to 2, or -100"),
        (lambda: rows(ids, labels=torch.tensor([0, 1])), r"have the shape \[2\], and must be 5"),
        (lambda: rows(ids, labels=[0, 1, 2, 0, 1]), "Labels are a list"),
        (lambda: rows(ids, labels=torch.zeros(5)), r"must be a tensor \[5, 3\]"),
        (lambda: several(ids, labels=torch.zeros(5)), r"must be a tensor \[5, 3\]"),
        (lambda: numbers(ids[:3], labels=torch.zeros(3)), r"must be a tensor \[3, 3\]"),
        (lambda: pairs(ids, labels=ids, next_sentence_label=torch.tensor([0, 1])), "must be 5"),
        (lambda: spans(ids, start_positions=torch.zeros(2).long(), end_positions=torch.zeros(2).long()), "must be 5"),
        (lambda: choices(ids), r"tensors \[batch, choices, length\]"),
        (lambda: choices(ids[None], mask), r"tensors \[batch, choices, length\]"),
        (lambda: choices(ids.flatten(), lengths=[80, 5]), r"such as \[\[3, 5\]\]"),
        (lambda: choices(ids[None], labels=torch.tensor([5])), "5 to 5, and must be 0 to 4, or -100"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            call()
    assert rows.config.problem_type is None


@pytest.mark.parametrize("compiling", [True, False])
def test_isolated_positions_are_detected_where_values_can_be_read(
    compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler cannot be asked: there such a position sees everybody, as long as gradients are computed."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    mask = torch.tensor([[[[True, False]]], [[[False, False]]]])
    layout = Rectangle.masked((2, 2), mask)
    assert layout.isolated != compiling
    assert layout.mask.tolist() == [[[[True, False]]], [[[compiling, compiling]]]]
    with torch.no_grad():
        layout = Rectangle.masked((2, 2), mask)
    assert not layout.isolated and layout.mask is mask


def test_a_packed_batch_of_no_tokens_needs_no_kernel() -> None:
    layout = Packed.from_lengths([0, 0], torch.device("cpu"))
    nothing = torch.zeros(0, 4, 8)
    assert flash(nothing, nothing, nothing, layout, None, 0.0) is nothing


def test_layouts_bring_tokens_there_and_back() -> None:
    ids, mask = batch()
    layout = arrange(ids, mask, None, None, None, None).layout
    assert isinstance(layout, Packed)
    assert layout.lengths == [17, 9, 9, 3, 1]
    assert torch.equal(layout.unpack(layout.pack(ids)), ids * mask)
    assert torch.equal(layout.from_grid(layout.to_grid(layout.pack(ids))), layout.pack(ids))
    packed = arrange(ids[mask.bool()], None, None, None, None, LENGTHS).layout
    assert torch.equal(packed.firsts, layout.firsts)
    assert torch.equal(packed.unpack(packed.pack(ids[mask.bool()])), ids[mask.bool()])
