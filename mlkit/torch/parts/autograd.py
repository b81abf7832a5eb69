"""Names of ``torch.autograd`` beside those of mlkit.autograd."""

from mlkit.autograd import Variable

__all__ = ["Variable"]
