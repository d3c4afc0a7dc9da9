"""Training tools of transformers, if it is installed: `from bertkit import Trainer, get_scheduler, set_seed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bertkit.errors import MissingExtraError

if TYPE_CHECKING:
    from transformers import EarlyStoppingCallback as EarlyStoppingCallback
    from transformers import EvalPrediction as EvalPrediction
    from transformers import HfArgumentParser as HfArgumentParser
    from transformers import IntervalStrategy as IntervalStrategy
    from transformers import SchedulerType as SchedulerType
    from transformers import Seq2SeqTrainer as Seq2SeqTrainer
    from transformers import Seq2SeqTrainingArguments as Seq2SeqTrainingArguments
    from transformers import Trainer as Trainer
    from transformers import TrainerCallback as TrainerCallback
    from transformers import TrainerControl as TrainerControl
    from transformers import TrainerState as TrainerState
    from transformers import TrainingArguments as TrainingArguments
    from transformers import get_constant_schedule as get_constant_schedule
    from transformers import get_constant_schedule_with_warmup as get_constant_schedule_with_warmup
    from transformers import get_cosine_schedule_with_warmup as get_cosine_schedule_with_warmup
    from transformers import (
        get_cosine_with_hard_restarts_schedule_with_warmup as get_cosine_with_hard_restarts_schedule_with_warmup,
    )
    from transformers import get_linear_schedule_with_warmup as get_linear_schedule_with_warmup
    from transformers import get_polynomial_decay_schedule_with_warmup as get_polynomial_decay_schedule_with_warmup
    from transformers import get_scheduler as get_scheduler
    from transformers import set_seed as set_seed

_THEIRS = (
    "EarlyStoppingCallback",
    "EvalPrediction",
    "HfArgumentParser",
    "IntervalStrategy",
    "SchedulerType",
    "Seq2SeqTrainer",
    "Seq2SeqTrainingArguments",
    "Trainer",
    "TrainerCallback",
    "TrainerControl",
    "TrainerState",
    "TrainingArguments",
    "get_constant_schedule",
    "get_constant_schedule_with_warmup",
    "get_cosine_schedule_with_warmup",
    "get_cosine_with_hard_restarts_schedule_with_warmup",
    "get_linear_schedule_with_warmup",
    "get_polynomial_decay_schedule_with_warmup",
    "get_scheduler",
    "set_seed",
)


def __getattr__(name: str) -> Any:
    if name not in _THEIRS:
        raise AttributeError(f"module 'bertkit.training' has no attribute {name!r}")
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtraError("transformers[torch]", None, name) from error
    return getattr(transformers, name)
