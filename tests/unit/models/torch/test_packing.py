"""Masks of every kind, packed tokens, weights on request."""

import pytest
import torch
from torch_models import LENGTHS, batch, furthest, ours, theirs

from bertkit import batch_invariant
from bertkit.errors import UsageError
from bertkit.models.torch.packing import Packed, arrange

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
def test_a_mask_may_say_for_each_position_where_it_looks(implementation: str, sides: int) -> None:
    ids, _ = batch()
    mask = torch.randint(0, 2, (5, 17, 17), generator=torch.Generator().manual_seed(4))
    mask[:, :, 0] = 1
    model = ours("BertModel")
    model.set_attn_implementation(implementation)
    added = (1.0 - mask[:, None]) * torch.finfo(torch.float32).min
    expected = theirs("BertModel")(ids, added).last_hidden_state
    got = model(ids, mask if sides == 3 else mask[:, None]).last_hidden_state
    assert furthest(got, expected) < TOLERANCE


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
    last = model(ids[real], start_positions=starts, end_positions=ends, lengths=LENGTHS)
    assert got.loss == last.loss
    assert (
        abs(
            model(ids[:4][real[:4]], start_positions=starts[:4], end_positions=ends[:4], lengths=LENGTHS[:4]).loss
            - sum(one_by_one) / 4
        )
        < TOLERANCE
    )
    chooser = ours("BertForMultipleChoice")
    choices = chooser(ids[:4].view(2, 2, 17), mask[:4].view(2, 2, 17)).logits
    packed = chooser(ids[:4][real[:4]], lengths=torch.tensor(LENGTHS[:4]).view(2, 2)).logits
    assert furthest(packed, choices) < TOLERANCE


def test_attention_weights_of_some_layers_change_nothing_else() -> None:
    ids, mask = batch()
    model = ours("BertModel")
    without, whole = model(ids, mask), model(ids, mask, output_attentions=True)
    some = model(ids, mask, output_attentions=[0, 2])
    assert torch.equal(without.last_hidden_state, whole.last_hidden_state)
    assert torch.equal(without.last_hidden_state, some.last_hidden_state)
    assert [weights is None for weights in some.attentions] == [False, True, False]
    assert torch.equal(some.attentions[2], whole.attentions[2])


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
    """What the module puts out from now on."""
    outputs: list[torch.Tensor] = []
    module.register_forward_hook(lambda module, given, output: outputs.append(output.detach()))
    return outputs


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_attention_dropout_keeps_the_mean(implementation: str) -> None:
    model = ours("BertModel", num_hidden_layers=1)
    ids, mask = batch()
    exact = outputs_of(model.encoder.layer[0].attention.self)
    model(ids, mask)
    noisy = ours("BertModel", num_hidden_layers=1).train()
    noisy.encoder.layer[0].attention.self.attention_dropout = noisy.config.attention_probs_dropout_prob = 0.3
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
        (lambda: model(ids, head_mask=torch.ones(3)), r"needs \[4\] or \[3, 4\]"),
        (lambda: model(ids, encoder_hidden_states=torch.zeros(5, 3, 32)), "add_cross_attention=True"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            call()


def test_layouts_bring_tokens_there_and_back() -> None:
    ids, mask = batch()
    layout = arrange(ids, mask, None, None, None, None).layout
    assert isinstance(layout, Packed)
    assert layout.lengths == [17, 9, 9, 3, 1]
    assert torch.equal(layout.unpack(layout.pack(ids)), ids * mask)
    assert torch.equal(layout.from_grid(layout.to_grid(layout.pack(ids))), layout.pack(ids))
    packed = arrange(ids[mask.bool()], None, None, None, None, LENGTHS).layout
    assert torch.equal(packed.columns, layout.columns)
    assert torch.equal(packed.unpack(packed.pack(ids[mask.bool()])), ids[mask.bool()])
