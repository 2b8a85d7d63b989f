"""Widgets: each is a pure function from state to an RGB picture, and a thin shell of sliders around it."""

from seglab.widgets.panel import Panel
from seglab.widgets.register import REGISTER

__all__ = ["REGISTER", "Panel"]
