"""What the dense networks share: backbone, head, perhaps an auxiliary head, and logits of the input's size."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from seglab.models.arguments import check_images
from seglab.models.backbone import Backbone


class DenseModel(nn.Module):
    """Backbone -> classifier -> logits of the input's size.

    Parameters
    ----------
    backbone : Backbone
        Any of them: maps images ``(N, in_channels, H, W)`` to a list of feature maps, the last of which is classified.
    classifier : Module or None
        Maps the last feature map to ``(N, K, h, w)``. None for a subclass that needs more than one map and overrides
        ``score``.
    aux_classifier : Module or None
        The same for the last map but one; the auxiliary loss of PSPNet (section 3.3 there) needs it.

    Notes
    -----
    Coarse logits are enlarged bilinearly with ``align_corners=False``, as torchvision does: the centre of a coarse
    pixel is the centre of the square of input pixels it covers, for every size.
    """

    def __init__(self, backbone: Backbone, classifier: nn.Module | None,
                 aux_classifier: nn.Module | None = None) -> None:
        super().__init__()
        self.backbone, self.classifier, self.aux_classifier = backbone, classifier, aux_classifier

    def score(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits ``(N, K, h, w)`` from the backbone's maps, before they are enlarged to the input's size."""
        return self.classifier(maps[-1])

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
        return resize(self.score(self.backbone(images)), images.shape[-2:])

    def logits_and_auxiliary(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Both outputs ``(N, K, H, W)``, in training and in evaluation; ValueError without an auxiliary head."""
        check_images(images, self.backbone.in_channels)
        if self.aux_classifier is None:
            raise ValueError("aux_classifier must be a module for auxiliary logits, got None; "
                             "build the model with aux_loss=True")
        maps, size = self.backbone(images), images.shape[-2:]
        return resize(self.score(maps), size), resize(self.aux_classifier(maps[-2]), size)


def resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps ``(N, C, h, w)`` at ``size`` (H, W) px, bilinear; pixels are areas (``align_corners=False``)."""
    return F.interpolate(maps, size=tuple(size), mode="bilinear", align_corners=False)
