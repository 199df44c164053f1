"""Fields of `nbmosaic.core.psf.simulated_field` for the tests of image fits."""

from __future__ import annotations

from nbmosaic.core.psf.simulated_field import PsfField, Seeing, SkyImages

__all__ = ["FIELDS", "PsfField", "Seeing", "SkyImages"]

FIELDS = {
    "rich": PsfField(seed=3, n=200, stars=((0.3, 0.62, 450.0), (0.7, 0.3, 120.0)), edge=4),
    "sparse": PsfField(seed=5, n=200, density=0.015, brightest=300.0, stars=((0.55, 0.4, 450.0),), edge=2, holes=((0.2, 0.8, 14.0),)),
    "faint": PsfField(
        seed=7,
        n=200,
        sigma=0.6,
        stars=((0.6, 0.7, 900.0),),
        holes=((0.3, 0.6, 18.0), (0.7, 0.25, 9.0)),
        edge=6,
        seeing=Seeing(dx=0.1, dy=0.12, beta=3.2),
    ),
    "galaxies": PsfField(seed=11, n=280),
}
"""A rich field with masked edges; a sparse one with a hole; one of low signal with holes and edges; one without stars."""
