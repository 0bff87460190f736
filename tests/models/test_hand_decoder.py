import torch
from network_batches import open_hand, tiny_config

from hoiray.config.network import HandDecoderConfig, NetworkConfig
from hoiray.geometry.rotations_torch import axis_angle_to_matrix
from hoiray.models.hand_decoder import DecodedHand, HandDecoder, Hourglass, PoseEncoder
from hoiray.models.palm import palm_of

CHANNELS = 8
SIZES = torch.tensor([[40.0, 30.0], [20.0, 60.0]])


def make(config: NetworkConfig) -> HandDecoder:
    torch.manual_seed(0)
    return HandDecoder(CHANNELS, config, open_hand()).eval()


def features() -> torch.Tensor:
    return torch.randn(2, CHANNELS, 8, 8, generator=torch.Generator().manual_seed(1))


def plain(**changes: object) -> NetworkConfig:
    """The paper's decoder, small: no cue but the encoder's vector."""
    values: dict[str, object] = {
        "hourglass_channels": 8,
        "hourglass_depth": 2,
        "encoder_widths": (8, 8),
        "hidden_widths": (16,),
    }
    return tiny_config(hand=HandDecoderConfig(**(values | changes)))  # type: ignore[arg-type]


def test_the_decoder_says_all_of_a_hand_in_full_precision() -> None:
    config = tiny_config()
    decoded = make(
        config.model_copy(update={"hand": config.hand.model_copy(update={"predicts_side": True})}),
    )(features(), SIZES)
    shapes = {name: tuple(value.shape) for name, value in vars(decoded).items()}
    assert shapes == {
        "heatmaps": (2, 21, 8, 8),
        "heatmap_logits": (2, 21, 8, 8),
        "joints_2d_unit": (2, 21, 2),
        "depths_box": (2, 21),
        "rotations": (2, 16, 3, 3),
        "betas": (2, 10),
        "side_logits": (2,),
    }
    assert {value.dtype for value in vars(decoded).values()} == {torch.float32}
    less = make(plain())(features(), SIZES)
    assert less.depths_box is None
    assert less.side_logits is None


def test_an_hourglass_looks_at_everything_and_keeps_the_size() -> None:
    hourglass = Hourglass(3, 4, HandDecoderConfig())
    x = torch.randn(1, 4, 16, 16, requires_grad=True)
    out = hourglass.eval()(x)
    assert out.shape == x.shape
    out[0, :, 0, 0].sum().backward()
    assert x.grad is not None
    assert (x.grad[0, :, 8:, 8:] != 0.0).any()


def test_the_papers_encoder_gives_2048_numbers_and_the_released_codes_1024() -> None:
    with torch.device("meta"):
        paper = PoseEncoder(32, HandDecoderConfig())
        released = PoseEncoder(32, HandDecoderConfig(encoder_widths=(256, 256, 256, 256), encoder_blocks=2))
    assert (paper.num_features, released.num_features) == (2048, 1024)


def test_an_untrained_network_says_the_mean_hand_in_the_palms_frame() -> None:
    decoder = make(tiny_config())
    decoded: DecodedHand = decoder(features(), SIZES)
    mean = axis_angle_to_matrix(open_hand().hands_mean.reshape(15, 3))
    torch.testing.assert_close(decoded.rotations[:, 1:], mean.expand(2, 15, 3, 3), atol=0.02, rtol=0.0)
    assert decoded.betas.abs().max() < 0.02


def test_turning_the_joints_turns_the_wrist_and_nothing_else() -> None:
    """The palm's frame carries the turn: what is left for the network to learn does not change."""
    decoder = make(tiny_config())
    with torch.no_grad():  # only what is seen in the palm's own frame may decide here
        decoder.pose.weight.zero_()
    turn = axis_angle_to_matrix(torch.tensor([[0.0, 0.0, 0.8]]))
    joints = torch.randn(1, 21, 3, generator=torch.Generator().manual_seed(2))
    raw = torch.zeros(1, 96)
    before = decoder._rotations(raw, palm_of(joints))
    after = decoder._rotations(raw, palm_of(joints @ turn.transpose(1, 2)))
    torch.testing.assert_close(after[:, 0], turn @ before[:, 0], atol=1e-5, rtol=0.0)
    torch.testing.assert_close(after[:, 1:], before[:, 1:])


def test_the_true_joints_of_a_flat_hand_give_its_orientation_with_nothing_learned() -> None:
    config = tiny_config(hand=tiny_config().hand.model_copy(update={"initial_pose": "flat"}))
    decoder = make(config)
    wrist = axis_angle_to_matrix(torch.tensor([[1.1, -0.4, 2.0]]))
    rest = torch.eye(3).expand(1, 15, 3, 3)
    joints = open_hand().joints_only_from_matrices(wrist, rest, torch.zeros(1, 10))
    said = decoder._rotations(torch.zeros(1, 96), palm_of(joints * 7.0))
    torch.testing.assert_close(said[:, 0], wrist, atol=1e-4, rtol=0.0)


def test_a_learned_temperature_sharpens_each_joint_by_itself() -> None:
    decoder = make(plain(temperature="learned"))
    before = decoder(features(), SIZES)
    assert decoder.locator.temperature is not None
    with torch.no_grad():
        decoder.locator.temperature[3] = 50.0
    after = decoder(features(), SIZES)
    assert after.heatmaps[:, 3].amax() > before.heatmaps[:, 3].amax()
    torch.testing.assert_close(after.heatmaps[:, 4], before.heatmaps[:, 4])
    assert make(plain()).locator.temperature is None


def test_the_wrist_is_no_distance_behind_itself() -> None:
    depths = make(tiny_config())(features(), SIZES).depths_box
    assert (depths[:, 0] == 0.0).all()
    assert (depths[:, 1:] != 0.0).any()


def test_a_boxs_shape_reaches_the_regressor_but_its_size_does_not() -> None:
    decoder = make(tiny_config())
    base, larger, wider = (
        decoder(features(), sizes).rotations for sizes in (SIZES, SIZES * 3.0, SIZES * torch.tensor([2.0, 0.5]))
    )
    torch.testing.assert_close(larger, base, atol=1e-5, rtol=0.0)
    assert not torch.allclose(wider, base, atol=1e-3)
