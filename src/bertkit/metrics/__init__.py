"""Metrics in NumPy: a function for whole arrays, and a class with `update` and `compute` for streams of batches.

The first argument is always the predictions, the second the references. A score whose denominator is 0 is 0; a loss, an error or
a correlation without examples is nan. No function warns.
"""

from bertkit.metrics.bootstrap import Interval, bootstrap_interval
from bertkit.metrics.calibration import Calibration, expected_calibration_error
from bertkit.metrics.classification import Classification, accuracy, f1, matthews_correlation, precision, recall
from bertkit.metrics.counts import Scores
from bertkit.metrics.entities import EntityScores, entity_scores
from bertkit.metrics.glue import GLUE_TASKS, Glue, glue_scores
from bertkit.metrics.inputs import Metric
from bertkit.metrics.language_modelling import LanguageModelling, log_likelihoods, perplexity
from bertkit.metrics.multilabel import MultiLabelClassification
from bertkit.metrics.regression import Regression, mean_absolute_error, mean_squared_error, pearson, spearman
from bertkit.metrics.rouge import Rouge, RougeScore, rouge_of, rouge_scores
from bertkit.metrics.schemes import Entity, entity_spans
from bertkit.metrics.squad import Squad, Squad2, normalize_answer, squad2_scores, squad_scores

__all__ = [
    "GLUE_TASKS",
    "Calibration",
    "Classification",
    "Entity",
    "EntityScores",
    "Glue",
    "Interval",
    "LanguageModelling",
    "Metric",
    "MultiLabelClassification",
    "Regression",
    "Rouge",
    "RougeScore",
    "Scores",
    "Squad",
    "Squad2",
    "accuracy",
    "bootstrap_interval",
    "entity_scores",
    "entity_spans",
    "expected_calibration_error",
    "f1",
    "glue_scores",
    "log_likelihoods",
    "matthews_correlation",
    "mean_absolute_error",
    "mean_squared_error",
    "normalize_answer",
    "pearson",
    "perplexity",
    "precision",
    "recall",
    "rouge_of",
    "rouge_scores",
    "spearman",
    "squad2_scores",
    "squad_scores",
]
