"""A softmax over very many classes, most of them rare."""

from __future__ import annotations

from collections import namedtuple

from mlkit.core.dispatch import ops
from mlkit.core.errors import ShapeError, ValueRangeError
from mlkit.functional import activation
from mlkit.functional.shaping import cat
from mlkit.nn.container import ModuleList, Sequential
from mlkit.nn.linear import Linear
from mlkit.nn.module import Module

AdaptiveResult = namedtuple("ASMoutput", ("output", "loss"))


class AdaptiveLogSoftmaxWithLoss(Module):
    """log softmax in two steps: first frequent classes and clusters of rare ones, then within a cluster.

    Grave et al. 2016, arXiv:1609.04309. Classes are numbered by falling frequency; ``cutoffs`` say where the clusters
    begin; each further cluster has ``div_value`` times fewer features.

    input (N, in_features), target (N) -> (output (N): log probability of each target, loss: minus its mean).
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs,
        div_value: float = 4.0,
        head_bias: bool = False,
        device=None,
        dtype=None,
    ):
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs:
            raise ValueRangeError("cutoffs should be a sequence of length larger than 0")
        rising = all(a < b for a, b in zip(cutoffs, cutoffs[1:], strict=False))
        if not rising or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1 or any(int(c) != c for c in cutoffs):
            raise ValueRangeError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each value is "
                "between 1 and n_classes-1"
            )
        how = {"device": device, "dtype": dtype}
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **how)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            hidden = int(in_features // div_value ** (i + 1))
            size = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(Linear(in_features, hidden, bias=False, **how), Linear(hidden, size, bias=False, **how))
            )

    def reset_parameters(self) -> None:
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_, target_):
        rank = target_.dim()
        if rank == 1:
            if input_.shape[0] != target_.shape[0]:
                raise ShapeError("Input and target should have the same size in the batch dimension.")
            if input_.dim() != 2:
                raise ShapeError(f"1D target tensor expects 2D input tensors, but found {input_.dim()}D.")
        elif rank == 0:
            if input_.dim() != 1:
                raise ShapeError(f"0D target tensor expects 1D input tensors, but found {input_.dim()}D.")
        else:
            raise ShapeError("0D or 1D target tensor expected, multi-target not supported")
        x = input_ if rank else input_.unsqueeze(0)
        target = target_ if rank else target_.unsqueeze(0)
        labels = target.tolist()
        if labels and not 0 <= min(labels) <= max(labels) < self.n_classes:
            raise ShapeError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range [{min(labels)}, {max(labels)}] "
                "were found."
            )
        cluster = [sum(label >= c for c in self.cutoffs[:-1]) for label in labels]
        heads = [label if k == 0 else self.shortlist_size + k - 1 for label, k in zip(labels, cluster, strict=True)]
        column = ops.unsqueeze(ops.index_array(heads, like=target), -1)
        output = ops.squeeze(ops.gather(activation.log_softmax(self.head(x), 1), column, dim=1), 1)
        for k in range(1, self.n_clusters + 1):
            members = [row for row, c in enumerate(cluster) if c == k]
            if not members:
                continue
            place = ops.index_array(members, like=target)
            within = ops.index_array([[labels[row] - self.cutoffs[k - 1]] for row in members], like=target)
            log_p = activation.log_softmax(self.tail[k - 1](ops.index_select(x, place, dim=0)), 1)
            output = ops.index_add(output, place, ops.squeeze(ops.gather(log_p, within, dim=1), 1), dim=0)
        loss = (-output).mean()
        return AdaptiveResult(output if rank else output.squeeze(0), loss)

    def log_prob(self, input):
        """The log probabilities of all classes: (N, in_features) -> (N, n_classes)."""
        head = activation.log_softmax(self.head(input), 1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            parts.append(activation.log_softmax(tail(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def predict(self, input):
        """The most probable class of each row: (N, in_features) -> (N)."""
        return self.log_prob(input).argmax(1)
