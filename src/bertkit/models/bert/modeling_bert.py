"""The PyTorch classes and their parts under transformers' path and names."""

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

# Parts that have other names here, as one class serves several.
BertSelfOutput = BertOutput = model.BertResidual
BertSdpaSelfAttention = BertSelfAttention
BertLMPredictionHead = heads.BertPredictions
BertOnlyMLMHead = heads.BertWordsHead
BertPreTrainingHeads = heads.BertPreTrainingHeads
BertOnlyNSPHead = heads.BertNextSentenceHead

_ADVICE = {
    "BertIntermediate": "a layer's `intermediate` is a dense layer and an activation: subclass BertLayer.",
    "BertPredictionHeadTransform": "it is the `transform` of BertLMPredictionHead: subclass that.",
    "BertCrossAttention": "a decoder's `crossattention` is a BertAttention.",
    "load_tf_weights_in_bert": "from_pretrained reads TensorFlow's checkpoints: type BertModel.from_pretrained(folder).",
    "eager_attention_forward": 'type attn_implementation="eager" in from_pretrained.',
}


def __getattr__(name: str) -> object:
    if name in _ADVICE:
        raise UnavailableError(f"bertkit has no {name}: {_ADVICE[name]}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
