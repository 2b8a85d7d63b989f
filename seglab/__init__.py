"""seglab: the package behind a verified notebook course on image segmentation.

Import what you need from its parts, for example ``from seglab.models import UNet``. Importing
``seglab`` itself loads none of them, so that it costs nothing beside PyTorch.
"""

__version__ = "0.1.0"
