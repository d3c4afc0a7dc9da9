"""Speed and memory of `generate`: bertkit and transformers, with the same random weights and prompts.

    python benchmarks/generation.py [--models decoder encoder-decoder] [--batches 1 16] [--beams 1 4] [--new 64] [--prompt 32]
                                    [--seconds 10] [--rounds 3] [--threads N] [--json FILE]

The models are slices: 2 layers of the width of BERT-base (768), float32, a vocabulary of 30,522. No text ends before `--new`
words, and no word is sampled. A prompt is what a decoder continues, or what an encoder reads.

Each library is a separate process. They take turns, in alternating order; a turn is one call of `generate` on the batch. Speed is
the number of new words of the returned texts, divided by the time. A ratio is that of all turns, with a 95 percent bootstrap
interval. Memory is the peak over all calls, with weights, without the memory of the imports.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from turns import Process, add_options, processor, show, started, take_turns

if __name__ == "__main__":
    sys.path.pop(0)  # this folder, whose tokenizers.py hides the package of that name

CONTESTANTS = ("bertkit", "transformers")
MODELS = ("decoder", "encoder-decoder")
SIZES = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 2,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
START, END, PADDING = 101, 102, 0


def model_of(library: Any, kind: str) -> Any:
    """Return a model of a library with random weights, which are the same for both."""
    import torch

    decoder = library.BertConfig(**SIZES, is_decoder=True, add_cross_attention=kind == "encoder-decoder")
    if kind == "decoder":
        model = library.BertLMHeadModel(decoder)
    else:
        both = library.EncoderDecoderConfig.from_encoder_decoder_configs(library.BertConfig(**SIZES), decoder)
        model = library.EncoderDecoderModel(config=both)
    generator = torch.Generator().manual_seed(0)
    for _, parameter in sorted(model.named_parameters()):
        parameter.data.normal_(0, 0.02, generator=generator)
    return model.eval()


def serve(options: argparse.Namespace) -> None:
    """Be a contestant: write the texts of a batch for each step of a turn."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    library = __import__(options.serve)
    turns = started()
    model = model_of(library, options.model)
    prompt = torch.randint(
        1000, 30000, (options.batch_size, options.prompt), generator=torch.Generator().manual_seed(1)
    )
    settings = {
        "attention_mask": torch.ones_like(prompt),
        "max_new_tokens": options.new,
        "min_new_tokens": options.new,
        "num_beams": options.beam,
        "do_sample": False,
        "pad_token_id": PADDING,
        "eos_token_id": END,
    }
    if options.model == "encoder-decoder":
        settings["decoder_start_token_id"] = START
    more = turns.wait()
    while more:
        found = model.generate(prompt, **settings)
        start = 1 if options.model == "encoder-decoder" else options.prompt
        assert found.shape == (options.batch_size, start + options.new), found.shape
        more = turns.step(found.shape[0] * options.new)


def measure(model: str, batch: int, beams: int, options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of each library."""
    words = ["--model", model, "--batch-size", str(batch), "--beam", str(beams), "--new", str(options.new)]
    words += ["--prompt", str(options.prompt), "--threads", str(options.threads)]
    processes = {name: Process(__file__, ["--serve", name, *words], options.errors) for name in CONTESTANTS}
    return take_turns(processes, options)


def main() -> None:
    """Run the benchmark, and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--beams", nargs="+", type=int, default=[1, 4])
    parser.add_argument("--new", type=int, default=64, help="new words of each text")
    parser.add_argument("--prompt", type=int, default=32, help="words of a prompt")
    add_options(parser, seconds=10)
    parser.set_defaults(steps=1)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--beam", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options)
        return
    found: dict[str, Any] = {"processor": processor(), "figures": {}}
    print(f"{found['processor']}; {options.new} new words after {options.prompt}")
    for model in options.models:
        for batch in options.batches:
            for beams in options.beams:
                title = f"{model}, batch of {batch}, {'greedy' if beams == 1 else f'{beams} beams'}"
                found["figures"][title] = measure(model, batch, beams, options)
                show(title, found["figures"][title])
    if options.json:
        options.json.write_text(json.dumps(found, indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
