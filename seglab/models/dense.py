"""What the dilated networks share: backbone, head, perhaps an auxiliary head, and logits of the input's size."""

from numbers import Integral

from torch import Tensor, nn
from torch.nn import functional as F


class DenseModel(nn.Module):
    """Backbone -> classifier -> logits of the input's size.

    Parameters
    ----------
    backbone : Module
        Maps images ``(N, in_channels, H, W)`` to a list of feature maps, the last of which is classified;
        :class:`seglab.models.resnet.ResNet`.
    classifier : Module
        Maps the last feature map to ``(N, K, h, w)``.
    aux_classifier : Module or None
        The same for the last map but one; the auxiliary loss of PSPNet (section 3.3 there) needs it.

    Notes
    -----
    Coarse logits are enlarged bilinearly with ``align_corners=False``, as torchvision does: the centre of a coarse
    pixel is the centre of the square of input pixels it covers, for every size.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, aux_classifier: nn.Module | None = None):
        super().__init__()
        self.backbone, self.classifier, self.aux_classifier = backbone, classifier, aux_classifier

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Logits at input size.

        Parameters
        ----------
        images : Tensor (N, in_channels, H, W), float
            Normalised pictures, any H, W >= 1 px.

        Returns
        -------
        Tensor (N, K, H, W), or in training with an auxiliary head a pair of them: logits, auxiliary logits.

        Raises
        ------
        TypeError
            If images are integers.
        ValueError
            For another shape or number of channels; in training also where batch normalisation would see a single
            value a channel: one picture no larger than the output stride.
        """
        check_images(images, self.backbone.in_channels)
        if self.training and self.aux_classifier is not None:
            return self.logits_and_auxiliary(images)
        return enlarge(self.classifier(self.backbone(images)[-1]), images)

    def logits_and_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Both outputs ``(N, K, H, W)``, in training and in evaluation; ValueError without an auxiliary head."""
        check_images(images, self.backbone.in_channels)
        if self.aux_classifier is None:
            raise ValueError("the model has no auxiliary head, build it with aux_loss=True")
        *_, before, last = self.backbone(images)
        return enlarge(self.classifier(last), images), enlarge(self.aux_classifier(before), images)


def enlarge(logits: Tensor, images: Tensor) -> Tensor:
    """Bilinear enlargement of ``(N, K, h, w)`` to the height and width of the images."""
    return F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)


def check_images(images: Tensor, channels: int) -> None:
    """Raise unless images are floating point of shape ``(N, channels, H, W)`` with no empty axis."""
    if images.ndim != 4 or images.shape[1] != channels or 0 in images.shape:
        raise ValueError(f"images must have shape (N, {channels}, H, W) with N, H, W >= 1, got {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point in 0..1 or normalised, got {images.dtype}")


def check_num_classes(num_classes: int) -> None:
    """Raise ValueError unless ``num_classes`` is an integer >= 1."""
    if isinstance(num_classes, bool) or not isinstance(num_classes, Integral) or num_classes < 1:
        raise ValueError(f"num_classes must be an integer >= 1, got {num_classes!r}")
