"""The parts of `bertkit.pretrain`.

options.py       the options
opening.py       shards, tokenizer and model
source.py        examples -> the batches of the loop
objective.py     the parts of the loss
word_loss.py     the cross-entropy of words in chunks
sentence_*.py    vectors of a teacher, and the distance to them
evaluation.py    scores on held-out documents, and filled sentences
flops.py         operations per second
"""
