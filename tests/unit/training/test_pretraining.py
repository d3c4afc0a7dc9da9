"""The loop of pretraining: its loss and gradients are those of transformers, it learns, and it resumes bit by bit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import corpora
import numpy as np
import pretraining_cases
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import transformers

from bertkit.data.batches import Batch, pack
from bertkit.data.shards import Shards
from bertkit.errors import UsageError
from bertkit.training import checkpoints
from bertkit.training.loop import Loop, TrainingError
from bertkit.training.pretraining import word_loss as words
from bertkit.training.pretraining.flops import matrix_limit, step_flops
from bertkit.training.pretraining.objective import encoded, projection
from bertkit.training.pretraining.source import ShardSource, examples_of
from bertkit.training.sources import Position

HEADS = {"ForPreTraining": "pairs", "ForMaskedLM": "sentences"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return pretraining_cases.shards(tmp_path_factory.mktemp("corpus"))


def a_batch(shards: Shards, head: str, count: int = 6) -> Batch:
    source = ShardSource(shards, pretraining_cases.settings(examples=HEADS[head], batch_size=count))
    (batch,) = source.batches(Position(), source.numbers(Position()))
    return batch


def train(loop: Loop, steps: int = 10**6) -> list[float]:
    losses = []
    while not loop.finished and steps:
        losses.append(loop.step().loss)
        steps -= 1
    return losses


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loop.model.state_dict().items()}


# The loss of words.


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_the_loss_of_words_is_cross_entropy(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss and gradients, whatever the size of the chunks, also where the loss is scaled."""
    monkeypatch.setattr(words, "_ELEMENTS", {"cpu": chunk * 50})
    torch.manual_seed(0)
    given = [(0.3 * torch.randn(*shape)).requires_grad_() for shape in ((7, 16), (50, 16), (50,))]
    labels = torch.randint(50, (7,))
    expected = F.cross_entropy(given[0] @ given[1].T + given[2], labels)
    found = words.word_loss(*given, labels)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    pairs = zip(torch.autograd.grad(3 * found, given), torch.autograd.grad(3 * expected, given), strict=True)
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_the_loss_of_words_holds_few_logits() -> None:
    """The largest tensor that is made is a chunk, also within autocast, and never [M, V] in float32."""
    made: list[int] = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = function(*args, **(kwargs or {}))
            made.extend(t.numel() for t in (found if isinstance(found, tuple) else (found,)) if torch.is_tensor(t))
            return found

    count, vocabulary = 1_000, 20_000
    states, weight = torch.randn(count, 4, requires_grad=True), torch.randn(vocabulary, 4, requires_grad=True)
    labels = torch.randint(vocabulary, (count,))
    with torch.autocast("cpu", torch.bfloat16), Watch():
        words.word_loss(states, weight, torch.zeros(vocabulary), labels).backward()
    assert max(made) <= 2**23 < count * vocabulary


def test_bf16_and_fp32_have_nearly_the_same_gradients() -> None:
    torch.manual_seed(0)
    given = [torch.randn(*shape, requires_grad=True) for shape in ((9, 16), (50, 16), (50,))]
    labels = torch.randint(50, (9,))
    exact = torch.autograd.grad(words.word_loss(*given, labels), given)
    with torch.autocast("cpu", torch.bfloat16):
        loss = words.word_loss(*given, labels)
    assert loss.dtype == torch.float32
    for ours, theirs in zip(torch.autograd.grad(loss, given), exact, strict=True):
        assert ours.dtype == torch.float32
        assert F.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.999


def test_no_masked_words() -> None:
    states, weight, bias = torch.zeros(0, 4, requires_grad=True), torch.ones(6, 4, requires_grad=True), torch.zeros(6)
    loss = words.word_loss(states, weight, bias, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and weight.grad is not None and not weight.grad.any()
    assert [len(part) for part in words.word_scores(states, weight, bias, torch.zeros(0, dtype=torch.long))] == [0, 0]


# The objective.


@pytest.mark.parametrize("head", HEADS)
def test_loss_and_gradients_are_those_of_transformers(head: str, shards: Shards) -> None:
    """Packed examples here, padded ones there."""
    batch, model = a_batch(shards, head), pretraining_cases.model(head)
    config = transformers.BertConfig(**{k: v for k, v in model.config.to_dict().items() if k != "transformers_version"})
    theirs = getattr(transformers, f"Bert{head}")(config).train()
    theirs.load_state_dict(model.state_dict())
    objective = pretraining_cases.objective(model.config, head)
    losses = objective(objective.module(model.train()), batch)
    losses.sum().backward()
    rows = batch.lengths.tolist()

    def padded(values: np.ndarray, filler: int) -> torch.Tensor:
        parts = torch.split(torch.from_numpy(values), rows)
        return torch.nn.utils.rnn.pad_sequence(list(parts), batch_first=True, padding_value=filler)

    labels = {name: value for name, value in batch.labels(head).items() if name != "labels"}
    expected = theirs(
        input_ids=padded(batch.input_ids, 0),
        attention_mask=padded(np.ones_like(batch.input_ids), 0),
        token_type_ids=padded(batch.token_type_ids, 0),
        labels=padded(batch.labels(head)["labels"], -100),
        **{name: torch.from_numpy(value) for name, value in labels.items()},
    ).loss
    expected.backward()
    assert losses.sum().item() == pytest.approx(expected.item(), abs=1e-5)
    gradients = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name].grad, atol=1e-5, rtol=0, msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_a_split_step_is_the_same(head: str, shards: Shards) -> None:
    """Into batches of few tokens, and by accumulation."""
    whole = pretraining_cases.loop(shards, examples=HEADS[head], max_steps=4)
    losses = train(whole)
    for options in ({"batch_tokens": 60}, {"batch_size": 4, "accumulate": 2}):
        parts = pretraining_cases.loop(shards, examples=HEADS[head], max_steps=4, **options)
        assert train(parts) == pytest.approx(losses, abs=1e-5)
        for name, value in weights(whole).items():
            if "key.bias" not in name:  # its gradient is rounding, which Adam makes large
                torch.testing.assert_close(weights(parts)[name], value, atol=1e-5, rtol=0)


def test_gradient_checkpointing_is_the_same(shards: Shards) -> None:
    plain, again = (pretraining_cases.loop(shards, max_steps=3) for _ in range(2))
    again.model.gradient_checkpointing_enable()
    assert train(plain) == pytest.approx(train(again), abs=1e-6)


def test_the_parts_of_the_loss_are_recorded(shards: Shards) -> None:
    loop = pretraining_cases.loop(shards)
    loss = loop.step().loss
    assert set(loop.losses) == {"mlm_loss", "nsp_loss"}
    assert sum(loop.losses.values()) == pytest.approx(loss, abs=1e-6)
    assert loop.losses["mlm_loss"] == pytest.approx(np.log(len(corpora.tokenizer())), abs=0.3)


def test_it_overfits_64_sentences(tmp_path: Path) -> None:
    """Masked words and the next sentence are learnt by heart."""
    flat = [sentence for document in corpora.documents(12) for sentence in document][:64]
    own = corpora.shards(tmp_path, [flat[at : at + 8] for at in range(0, 64, 8)])
    assert own.sentences == 64
    loop = pretraining_cases.loop(own, max_steps=160, batch_size=64, lr=5e-3, max_length=48, sizes={"hidden_size": 64})
    batches = loop.next_batches()
    while not loop.finished:
        loop.step(batches)
    words_, pairs = [], []
    for batch in batches:
        found = encoded(loop.model.eval(), batch)
        truth = torch.from_numpy(batch.targets["labels"].values)
        words_ += (words.word_scores(*projection(loop.model, found.masked), truth)[1] == truth).tolist()
        related = loop.model.cls.seq_relationship(found.pooled).argmax(-1)
        pairs += (related.numpy() == batch.targets["next_sentence_label"].values).tolist()
    assert len(pairs) > 20 and np.mean(words_) > 0.95 and np.mean(pairs) > 0.99


# The source, and resuming.


def test_resuming_is_exact(shards: Shards, tmp_path: Path) -> None:
    """With dropout and a change of length: the same losses and the same bits of all weights."""
    options = {"dropout": 0.1, "max_steps": 9, "short_length": 16, "short_steps": 0.6}
    torch.manual_seed(5)
    whole = pretraining_cases.loop(shards, **options)
    losses = train(whole)
    for stop in (3, 7):
        torch.manual_seed(5)
        first = pretraining_cases.loop(shards, **options)
        before = train(first, stop)
        values, tensors = first.state()
        folder = checkpoints.save(tmp_path / str(stop), stop, first.model.save_pretrained, values, tensors)
        second = pretraining_cases.loop(shards, **options)
        second.model.load_state_dict(type(second.model).from_pretrained(folder).state_dict())
        second.restore(*checkpoints.load(folder))
        assert before + train(second) == losses
        assert all(torch.equal(value, weights(second)[name]) for name, value in weights(whole).items())
        assert second.tokens == whole.tokens


def test_resuming_with_other_examples(shards: Shards) -> None:
    values, tensors = pretraining_cases.loop(shards).state()
    with pytest.raises(UsageError, match="The training examples, or options of their order, are not those"):
        pretraining_cases.loop(shards, masking="tokens").restore(values, tensors)


def test_short_examples_come_first(shards: Shards) -> None:
    loop = pretraining_cases.loop(shards, max_steps=10, short_length=16, short_steps=0.7)
    longest = []
    while not loop.finished:
        batches = loop.next_batches()
        longest.append(max(int(batch.lengths.max()) for batch in batches))
        loop.step(batches)
    assert [length <= 16 for length in longest] == [True] * 7 + [False] * 3


def test_an_epoch_has_each_example_once(shards: Shards) -> None:
    source = ShardSource(shards, pretraining_cases.settings(batch_size=5, epochs=2))
    position, seen = Position(), []
    for _ in range(source.steps_per_epoch()):
        seen += source.numbers(position)
        position = source.after(position, 0.1)
    assert (position.epoch, position.at) == (1, 0)
    assert sorted(seen) == list(range(len(seen))) and 0 <= len(source.parts[0].epoch(0)) - len(seen) < 5
    assert source.total_steps == 2 * source.steps_per_epoch()


def test_the_share_of_pairs_with_a_random_length(shards: Shards) -> None:
    def lengths(share: float) -> list[int]:
        settings = pretraining_cases.settings(short_seq_prob=share)
        return [len(row.input_ids) for row in examples_of(shards, settings, 32).epoch(0)]

    usual, random, long = map(lengths, (0.1, 1.0, 0.0))
    assert np.mean(random) < np.mean(usual) - 2 < np.mean(long) - 2
    assert len(random) > len(usual) > len(long)  # of the same text
    sums = {ShardSource(shards, pretraining_cases.settings(short_seq_prob=one)).fingerprint() for one in (0.1, 1.0)}
    assert len(sums) == 2  # a run does not continue with other examples


def test_epochs_with_two_lengths(shards: Shards) -> None:
    """Steps with short and with long examples together make two passes over the text."""
    source = ShardSource(shards, pretraining_cases.settings(epochs=2, short_length=16, short_steps=0.8))
    short, long = (source.steps_per_epoch(part) for part in (0, 1))
    assert short > long
    total = source.total_steps
    assert 0.8 * total / short + 0.2 * total / long == pytest.approx(2, abs=2 / long)


def test_few_examples_make_a_small_step(tmp_path: Path) -> None:
    own = corpora.shards(tmp_path, [[".", "."], ["wak", "."]])
    source = ShardSource(own, pretraining_cases.settings(batch_size=100))
    assert 0 < len(source.numbers(Position())) < 100
    assert source.steps_per_epoch() == 1


# Operations.


def test_operations_of_a_step(shards: Shards) -> None:
    """As PyTorch counts them in a forward and a backward pass, without those of attention, which it does not see on a CPU."""
    from torch.utils.flop_counter import FlopCounterMode

    batch, model = a_batch(shards, "ForPreTraining"), pretraining_cases.model()
    model.set_attn_implementation("eager")
    objective = pretraining_cases.objective(model.config)
    module = objective.module(model)
    with FlopCounterMode(display=False) as counter:
        objective(module, batch).sum().backward()
    padded = 4 * len(batch.lengths) * int(batch.lengths.max()) ** 2 * 32 * 2 * 3
    packed = 4 * int((batch.lengths**2).sum()) * 32 * 2 * 3
    assert counter.get_total_flops() - padded == pytest.approx(objective.flops(batch) - packed, rel=0.02)


def test_the_limit_of_matrices_leaves_random_numbers() -> None:
    state = torch.get_rng_state()
    assert matrix_limit(torch.device("cpu"), torch.float32, seconds=0.05) > 1e8
    assert torch.equal(state, torch.get_rng_state())
    assert step_flops(pretraining_cases.model().config, pack([])) == 0


def test_the_first_product_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """It also loads libraries, which takes a second on a GPU, and the measurement would end with it."""
    multiply, calls = torch.Tensor.__matmul__, list[int]()

    def slow_at_first(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        time.sleep(0.0 if calls else 0.5)
        calls.append(len(left))
        return multiply(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", slow_at_first)
    assert matrix_limit(torch.device("cpu"), torch.float32, seconds=0.05) > 1e8


def test_a_gradient_that_is_not_a_number_leaves_the_weights(shards: Shards) -> None:
    loop = pretraining_cases.loop(shards)
    before = weights(loop)
    parameter = loop.model.bert.pooler.dense.weight
    parameter.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(TrainingError, match="The norm of the gradient of step 1 is nan: type a smaller learning rate"):
        loop.step()
    assert all(torch.equal(value, before[name]) for name, value in weights(loop).items())
