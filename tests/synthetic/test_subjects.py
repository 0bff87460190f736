import numpy as np

from hoiray.synthetic.subjects import MAX_BETA, NUM_SKIN_TONES, sample_subject


def test_a_person_is_the_same_every_time() -> None:
    first, again = sample_subject("lab", 0, 3), sample_subject("lab", 0, 3)
    np.testing.assert_array_equal(first.betas, again.betas)
    assert (first.subject_id, first.skin_tone_index, first.appearance_seed) == (
        again.subject_id, again.skin_tone_index, again.appearance_seed,
    )  # fmt: skip


def test_domains_and_seeds_share_nobody() -> None:
    people = [sample_subject(d, s, i) for d in ("lab", "wild") for s in range(3) for i in range(20)]
    assert len({person.subject_id for person in people}) == len(people)
    assert len({person.betas.tobytes() for person in people}) == len(people)


def test_shapes_are_normal_and_cut() -> None:
    betas = np.stack([sample_subject("wild", 0, i).betas for i in range(400)])
    assert np.abs(betas).max() <= MAX_BETA
    assert np.abs(betas).max() > 2.3
    np.testing.assert_allclose(betas.std(axis=0), 1.0, atol=0.12)
    np.testing.assert_allclose(betas.mean(axis=0), 0.0, atol=0.2)


def test_ten_people_show_all_skin_tones() -> None:
    assert {sample_subject("lab", 7, i).skin_tone_index for i in range(10)} == set(range(NUM_SKIN_TONES))
