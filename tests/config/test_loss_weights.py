from hoiray.config.loss_weights import LossWeights


def test_the_weights_keep_the_papers_ratio() -> None:
    """Joints : location : confidence = 0.1 : 0.5 : 0.1 (paper, section 4), times a thousand."""
    weights = LossWeights()
    assert (weights.joints_2d, weights.object_location, weights.object_confidence) == (100.0, 500.0, 100.0)
    assert (weights.vertices, weights.joints_3d, weights.pose, weights.shape) == (1e4, 1e4, 10.0, 0.1)
