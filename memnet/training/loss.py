"""The loss of a training (eq. 12)."""

from torch import Tensor, nn


def supervised_loss(
    model: nn.Module, x: Tensor, clean: Tensor, weights: Tensor | None = None, *, alpha: float | None = None
) -> Tensor:
    """Eq. 12: alpha times the mean squared error of y plus (1 - alpha) times the mean of those of y_1 .. y_M; a scalar.

    `x` and `clean` are (N, 1, H, W) in [0, 1], `weights` (N,) those of the patches, by default 1; the sum is
    float32 whatever the network computes in. `alpha` is by default 1 / (M + 1) (section 5.1): all M + 1 outputs
    count alike. The basic network has one output, and alpha changes nothing. ValueError for an alpha outside [0, 1].
    """
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha is a share of the loss, from 0 to 1, got {alpha}")
    # Paper: sums over pixels with a factor 1/2. Means without it: losses of patches of any size can be compared.
    y, y_m = model.predictions(x)
    alpha = 1 / (len(y_m) + 1) if alpha is None else alpha
    shares = [alpha, *[(1 - alpha) / len(y_m)] * len(y_m)]
    outputs = zip(shares, [y, *y_m], strict=True)
    errors = sum(share * (output.float() - clean).square().mean(dim=(1, 2, 3)) for share, output in outputs)
    return (errors if weights is None else errors * weights).mean()
