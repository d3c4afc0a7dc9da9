"""The nine classes against transformers': outputs, losses and the gradient of every parameter."""

import pytest
import torch
from torch_models import CLASSES, LENGTHS, batch, furthest, ours, theirs

TOLERANCE = 1e-5


def labels(name: str, mask: torch.Tensor | None) -> dict[str, torch.Tensor]:
    ids, padding = batch()
    rng = torch.Generator().manual_seed(1)
    of_rows = torch.tensor([0, 1, 1, 0, 1])
    words = torch.where(torch.rand(ids.shape, generator=rng) < 0.4, ids, -100)
    classes = torch.randint(0, 3, ids.shape, generator=rng)
    words[0, 1], words[2, 2] = 7, 8
    if mask is not None:
        words, classes = words.masked_fill(padding == 0, -100), classes.masked_fill(padding == 0, -100)
    match name:
        case "BertModel":
            return {}
        case "BertForPreTraining":
            return {"labels": words, "next_sentence_label": of_rows}
        case "BertForMaskedLM" | "BertLMHeadModel":
            return {"labels": words}
        case "BertForTokenClassification":
            return {"labels": classes}
        case "BertForQuestionAnswering":
            return {
                "start_positions": torch.tensor([0, 1, 2, 50, 1]),
                "end_positions": torch.tensor([[3], [2], [2], [30], [0]]),
            }
        case "BertForMultipleChoice":
            return {"labels": torch.tensor([0, 1])}
    return {"labels": of_rows}


def inputs(name: str, padded: bool) -> dict[str, torch.Tensor]:
    ids, mask = batch()
    given = {
        "input_ids": ids,
        "token_type_ids": torch.randint(0, 2, ids.shape, generator=torch.Generator().manual_seed(2)),
    }
    if padded:
        given["attention_mask"] = mask
    if name == "BertForMultipleChoice":
        given = {key: value[:4].view(2, 2, -1) for key, value in given.items()}
    return {**given, **labels(name, mask if padded else None)}


def padding_of(name: str, key: str) -> float:
    return torch.finfo(torch.float32).min if name == "BertForQuestionAnswering" and "_logits" in key else 0


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", CLASSES)
def test_outputs_loss_and_gradients(name: str, padded: bool, implementation: str) -> None:
    their, our = theirs(name).train(), ours(name).train()
    our.set_attn_implementation(implementation)
    given = inputs(name, padded)
    expected = their(**given, output_hidden_states=True, output_attentions=True)
    got = our(**given, output_hidden_states=True, output_attentions=True)
    rows = batch()[1][: 4 if name == "BertForMultipleChoice" else None].bool()
    real = rows if padded else torch.ones_like(rows)
    assert list(got) == [key for key in expected if key not in ("past_key_values", "cross_attentions")]
    for key, value in got.items():
        several = value if isinstance(value, tuple) else (value,)
        for ours_, theirs_ in zip(
            several, expected[key] if isinstance(value, tuple) else (expected[key],), strict=True
        ):
            if key == "attentions":
                ours_, theirs_ = ours_.transpose(1, 2), theirs_.transpose(1, 2)
            if ours_.shape[:2] == real.shape:
                assert (ours_[~real] == padding_of(name, key)).all()
                ours_, theirs_ = ours_[real], theirs_[real]
            assert furthest(ours_, theirs_) < TOLERANCE, key
    their.zero_grad()
    (got.loss if "loss" in got else got.pooler_output.sum()).backward()
    (expected.loss if "loss" in expected else expected.pooler_output.sum()).backward()
    gradients = {key: parameter.grad for key, parameter in their.named_parameters()}
    assert gradients.keys() == dict(our.named_parameters()).keys()
    for key, parameter in our.named_parameters():
        if gradients[key] is None:
            assert parameter.grad is None or parameter.grad.count_nonzero() == 0, key
        else:
            assert furthest(parameter.grad, gradients[key]) < TOLERANCE, key


@pytest.mark.parametrize(
    "name", ["BertForMaskedLM", "BertForTokenClassification", "BertLMHeadModel", "BertForPreTraining"]
)
def test_labels_on_padding_count_as_they_do_in_transformers(name: str) -> None:
    given = inputs(name, padded=True)
    given["labels"] = (given["input_ids"] % 3 if "Token" in name else given["input_ids"]) + 0
    assert abs(ours(name)(**given).loss - theirs(name)(**given).loss) < TOLERANCE


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("case", ["left padding", "answers in padding", "classes of padding", "mask of pairs"])
def test_gradients_through_isolated_positions(case: str, implementation: str) -> None:
    """They see all alike, and some count in the loss: the last padding of a decoder tells the first word."""
    ids, mask = batch()
    empty = mask.clone()
    empty[1] = 0
    pairs = torch.ones(5, 17, 17)
    pairs[:, 4] = 0
    name, seen, asked = {
        "left padding": ("BertLMHeadModel", mask.flip(1), {"labels": ids.flip(1).masked_fill(mask.flip(1) == 0, -100)}),
        "answers in padding": ("BertForQuestionAnswering", empty, inputs("BertForQuestionAnswering", True)),
        "classes of padding": ("BertForTokenClassification", empty, {"labels": ids % 3}),
        "mask of pairs": ("BertForMaskedLM", pairs, {"labels": ids}),
    }[case]
    their, our = theirs(name).train(), ours(name).train()
    our.set_attn_implementation(implementation)
    given = {**asked, "input_ids": ids.flip(1) if case == "left padding" else ids}
    added = (1 - pairs[:, None]) * torch.finfo(torch.float32).min
    expected = their(**{**given, "attention_mask": added if case == "mask of pairs" else seen}).loss
    got = our(**{**given, "attention_mask": seen}).loss
    assert abs(got - expected) < TOLERANCE
    their.zero_grad()
    expected.backward()
    got.backward()
    for key, parameter in their.named_parameters():
        if parameter.grad is not None:
            assert furthest(our.get_parameter(key).grad, parameter.grad) < TOLERANCE, key


@pytest.mark.parametrize(
    ("problem", "labels_count", "given"),
    [
        ("regression", 1, torch.tensor([0.5, -1.0, 2.0, 0.0, 1.0])),
        ("regression", 3, torch.randn(5, 3, generator=torch.Generator().manual_seed(0))),
        ("single_label_classification", 3, torch.tensor([0, 1, 2, 1, 0])),
        ("multi_label_classification", 3, torch.tensor([[0.0, 1, 1]] * 5)),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_problem_types(problem: str, labels_count: int, given: torch.Tensor, told: bool) -> None:
    if problem == "regression" and labels_count > 1 and not told:
        problem = "multi_label_classification"  # which numbers for three labels are when nobody tells
    more = {"num_labels": labels_count, **({"problem_type": problem} if told else {})}
    name = "BertForSequenceClassification"
    ids, mask = batch()
    model, their = ours(name, **more), theirs(name, **more)
    their.config.problem_type = more.get("problem_type")  # another case may have set it
    assert abs(model(ids, mask, labels=given).loss - their(ids, mask, labels=given).loss) < TOLERANCE
    assert model.config.problem_type == problem


@pytest.mark.parametrize("cross", [True, False])
def test_cached_decoding(cross: bool) -> None:
    more = {"add_cross_attention": cross}
    their, our = theirs("BertLMHeadModel", **more), ours("BertLMHeadModel", **more)
    ids, _ = batch()
    states = torch.randn(5, 7, 32, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(7) < torch.tensor([7, 3, 2, 5, 1])[:, None]).long()
    encoder = {"encoder_hidden_states": states, "encoder_attention_mask": mask} if cross else {}
    expected = their(ids, **encoder).logits
    past, steps = None, []
    for part in ids.split([4, 1, 1, 11], dim=1):
        output = our(part, past_key_values=past, use_cache=True, **encoder)
        past = output.past_key_values
        steps.append(output.logits)
    assert furthest(torch.cat(steps, 1), expected) < TOLERANCE
    assert past.get_seq_length() == 17
    assert len(past[0]) == (4 if cross else 2)
    whole = our(ids, use_cache=False, output_attentions=True, **encoder)
    assert furthest(whole.logits, expected) < TOLERANCE
    assert (whole.cross_attentions is not None) == cross
    legacy = our(ids[:, 4:], past_key_values=our(ids[:, :4], **encoder).past_key_values.to_legacy_cache(), **encoder)
    assert furthest(legacy.logits, expected[:, 4:]) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_no_further_from_float32_than_theirs(dtype: torch.dtype) -> None:
    ids, mask = batch()
    real = mask.bool()
    exact = theirs("BertModel")(ids, mask).last_hidden_state[real]
    half = theirs("BertModel", attn_implementation="sdpa", initializer_range=0.02)
    half.load_state_dict(theirs("BertModel").state_dict())
    their_error = (half.to(dtype)(ids, mask).last_hidden_state[real] - exact).pow(2).mean().sqrt()
    our_error = (ours("BertModel").to(dtype)(ids, mask).last_hidden_state[real] - exact).pow(2).mean().sqrt()
    assert our_error <= 1.05 * their_error


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("name", ["BertForSequenceClassification", "BertForNextSentencePrediction"])
def test_the_last_layer_is_computed_for_needed_tokens_only(name: str, again: bool, implementation: str) -> None:
    """Logits, loss and gradients stay what they are, and nobody's last state but the first token's passes the feed-forward."""
    ids, mask = batch()
    asked = torch.tensor([1, 0, 1, 1, 0])
    model, peer = ours(name).train(), theirs(name)
    model.set_attn_implementation(implementation)
    if again:
        model.gradient_checkpointing_enable()
    rows: list[int] = []
    model.bert.encoder.layer[-1].output.register_forward_hook(lambda _, given, x: rows.append(len(x)))
    given = {"input_ids": ids, "attention_mask": mask, "labels": asked}
    got, expected = model(**given), peer(**given)
    whole = model(**given, output_hidden_states=True)
    assert rows == [len(LENGTHS), sum(LENGTHS)]  # all states are wanted the second time
    assert furthest(whole.hidden_states[-1][mask.bool()], model.bert(ids, mask).last_hidden_state[mask.bool()]) < 1e-6
    peer.zero_grad()
    expected.loss.backward()
    wanted = {key: parameter.grad for key, parameter in peer.named_parameters()}
    for output in (got, whole):
        assert furthest(output.logits, expected.logits) < TOLERANCE and abs(output.loss - expected.loss) < TOLERANCE
        model.zero_grad()
        output.loss.backward()
        for key, parameter in model.named_parameters():
            assert furthest(parameter.grad, wanted[key]) < TOLERANCE, key
