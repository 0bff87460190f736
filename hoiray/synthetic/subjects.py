"""People: the shape of their hands and the look of their skin, from a seed."""

import hashlib

import numpy as np

from hoiray.synthetic.scene import Subject

MAX_BETA = 2.5
"""Shapes are drawn from N(0, 1), as MANO's shape space is scaled, and cut here: beyond lie hands nobody has."""

NUM_SKIN_TONES = 10
"""Steps of the Monk Skin Tone scale (Monk, 2019)."""


def subject_id(domain: str, seed: int, subject_index: int) -> str:
    """Name a person; people of different domains or seeds never share a name."""
    return f"{domain}-{seed}-s{subject_index:04d}"


def sample_subject(domain: str, seed: int, subject_index: int) -> Subject:
    """Draw a person; everything follows from the three arguments.

    Neighbouring indices get skin tones spread over the whole scale, so that a domain of three people shows three.
    """
    name = subject_id(domain, seed, subject_index)
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little"))
    offset = int.from_bytes(hashlib.sha256(f"{domain}-{seed}".encode()).digest()[:4], "little")
    return Subject(
        subject_id=name,
        betas=np.clip(rng.standard_normal(10), -MAX_BETA, MAX_BETA),
        # 3 and 10 have no common factor: ten people show all ten tones.
        skin_tone_index=(offset + 3 * subject_index) % NUM_SKIN_TONES,
        appearance_seed=int(rng.integers(2**31)),
    )
