"""The names of a `config.json` that are no field of BERT's shape, and which fields a file has."""

from __future__ import annotations

# Fields that are written only if they differ from their default. The other fields of BERT are always written.
WRITTEN_WHEN_SET = frozenset(
    [
        "pruned_heads",
        "chunk_size_feed_forward",
        "id2label",
        "label2id",
        "problem_type",
        "output_hidden_states",
        "output_attentions",
        "return_dict",
        "architectures",
        "dtype",
    ]
)

# Attributes that are never written: those of this process, and how a file stores weights that are float32 after loading.
NEVER_WRITTEN = frozenset(["_name_or_path", "_attn_implementation_internal", "quantization_config"])

# Arguments that are accepted and kept: those of other libraries, and `thresholds` and `merge_windows`, which training writes.
# Those with an effect on the model are properties of BertConfig.
INERT = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_internal",
        "_commit_hash",
        "_name_or_path",
        "attn_implementation",
        "bad_words_ids",
        "begin_suppress_tokens",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "directionality",
        "diversity_penalty",
        "do_sample",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "is_encoder_decoder",
        "length_penalty",
        "max_length",
        "merge_windows",
        "min_length",
        "model_type",
        "name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "null_score_diff_threshold",
        "num_return_sequences",
        "output_past",
        "output_scores",
        "pooler_fc_size",
        "pooler_num_attention_heads",
        "pooler_num_fc_layers",
        "pooler_size_per_head",
        "pooler_type",
        "prefix",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "thresholds",
        "tie_encoder_decoder",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
    ]
)
