"""Segmentation without learning: thresholds, regions, floods, walks and cuts (notebook 02)."""

from seglab.classic.gaussian_mixture import GaussianMixture, kmeans
from seglab.classic.grabcut import GrabCutResult, grabcut
from seglab.classic.graph_cut import boundary_weights, cut_energy, graph_cut, min_cut, regional_costs
from seglab.classic.grid_graph import grid_edges
from seglab.classic.otsu import between_class_variance, threshold_otsu
from seglab.classic.random_walker import random_walker
from seglab.classic.region_growing import region_growing
from seglab.classic.slic import connect_segments, slic
from seglab.classic.watershed import distance_markers, h_maxima, watershed

__all__ = [
    "GaussianMixture",
    "GrabCutResult",
    "between_class_variance",
    "boundary_weights",
    "connect_segments",
    "cut_energy",
    "distance_markers",
    "grabcut",
    "graph_cut",
    "grid_edges",
    "h_maxima",
    "kmeans",
    "min_cut",
    "random_walker",
    "region_growing",
    "regional_costs",
    "slic",
    "threshold_otsu",
    "watershed",
]
