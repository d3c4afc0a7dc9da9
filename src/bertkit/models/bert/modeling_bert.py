"""The PyTorch classes and their parts under the path and names of transformers."""

from __future__ import annotations

from bertkit.errors import UnavailableError
from bertkit.models.torch import heads, model
from bertkit.models.torch.heads import BertForMaskedLM as BertForMaskedLM
from bertkit.models.torch.heads import BertForMultipleChoice as BertForMultipleChoice
from bertkit.models.torch.heads import BertForNextSentencePrediction as BertForNextSentencePrediction
from bertkit.models.torch.heads import BertForPreTraining as BertForPreTraining
from bertkit.models.torch.heads import BertForQuestionAnswering as BertForQuestionAnswering
from bertkit.models.torch.heads import BertForSequenceClassification as BertForSequenceClassification
from bertkit.models.torch.heads import BertForTokenClassification as BertForTokenClassification
from bertkit.models.torch.heads import BertLMHeadModel as BertLMHeadModel
from bertkit.models.torch.model import BertAttention as BertAttention
from bertkit.models.torch.model import BertEmbeddings as BertEmbeddings
from bertkit.models.torch.model import BertEncoder as BertEncoder
from bertkit.models.torch.model import BertLayer as BertLayer
from bertkit.models.torch.model import BertModel as BertModel
from bertkit.models.torch.model import BertPooler as BertPooler
from bertkit.models.torch.model import BertSelfAttention as BertSelfAttention
from bertkit.models.torch.pretrained import BertPreTrainedModel as BertPreTrainedModel
from bertkit.outputs import BertForPreTrainingOutput as BertForPreTrainingOutput

# Parts with other names in bertkit, as one class replaces several of transformers.
BertSelfOutput = BertOutput = model.BertResidual
BertSdpaSelfAttention = BertSelfAttention
BertLMPredictionHead = heads.BertPredictions
BertOnlyMLMHead = heads.BertWordsHead
BertPreTrainingHeads = heads.BertPreTrainingHeads
BertOnlyNSPHead = heads.BertNextSentenceHead

_ADVICE = {
    "BertIntermediate": "it is the `intermediate` of BertLayer, a dense layer with an activation. Subclass BertLayer.",
    "BertPredictionHeadTransform": "it is the `transform` of BertLMPredictionHead. Subclass BertLMPredictionHead.",
    "BertCrossAttention": "the `crossattention` of a decoder's layer is a BertAttention. Subclass BertAttention.",
    "load_tf_weights_in_bert": "from_pretrained reads TensorFlow's checkpoints: type BertModel.from_pretrained(folder).",
    "eager_attention_forward": 'type attn_implementation="eager" in from_pretrained.',
}


def __getattr__(name: str) -> object:
    if name in _ADVICE:
        raise UnavailableError(f"bertkit has no {name}: {_ADVICE[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
