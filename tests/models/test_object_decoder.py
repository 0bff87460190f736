import torch

from hoiray.config.network import ObjectDecoderConfig
from hoiray.models.object_decoder import ObjectDecoder, grid_centers


def test_cells_are_counted_row_by_row_and_named_x_first() -> None:
    centers = grid_centers(2, torch.zeros(1))
    assert centers.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def silent(config: ObjectDecoderConfig) -> ObjectDecoder:
    """A decoder whose last layers say nothing but their biases."""
    decoder = ObjectDecoder(4, config).eval()
    for stream in (decoder.location, decoder.confidence):
        last = [layer for layer in stream.modules() if isinstance(layer, torch.nn.Conv2d)][-1]
        assert last.bias is not None
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
    return decoder


def test_a_silent_network_proposes_every_cells_own_centre() -> None:
    for head in ("streams", "single"):
        decoder = silent(ObjectDecoderConfig(head=head, channels=6))  # type: ignore[arg-type]
        proposals = decoder(torch.randn(2, 4, 8, 8))
        centers = grid_centers(8, torch.zeros(1))
        torch.testing.assert_close(proposals.points_unit, centers[None, :, None].expand(2, 64, 21, 2))
        torch.testing.assert_close(proposals.confidence_logits.sigmoid(), torch.full((2, 64, 21), 0.5))


def test_offsets_are_tenths_of_the_box_x_before_y_point_by_point() -> None:
    """As the released code: (raw + 10 x centre) / 10."""
    decoder = silent(ObjectDecoderConfig(head="single", channels=6, offset_unit=0.1))
    with torch.no_grad():
        decoder.location.bias.copy_(torch.arange(42.0))  # type: ignore[union-attr, operator]
    points = decoder(torch.zeros(1, 4, 8, 8)).points_unit[0, 0]
    offsets = points - grid_centers(8, torch.zeros(1))[0]
    torch.testing.assert_close(offsets, torch.arange(42.0).reshape(21, 2) / 10.0)


def test_a_cells_proposal_depends_on_what_is_seen_there() -> None:
    decoder = ObjectDecoder(4, ObjectDecoderConfig(head="single", channels=6, shared_convolutions=1)).eval()
    features = torch.zeros(1, 4, 8, 8)
    changed = features.clone()
    changed[0, :, 2, 5] += 1.0
    moved = (decoder(changed).points_unit != decoder(features).points_unit).any(dim=(2, 3))[0].reshape(8, 8)
    rows, columns = torch.nonzero(moved, as_tuple=True)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 3, 4, 6)


def test_the_papers_head_has_six_3x3_layers_a_stream_and_the_codes_six_shared_ones() -> None:
    with torch.device("meta"):
        streams = ObjectDecoder(256, ObjectDecoderConfig())
        single = ObjectDecoder(256, ObjectDecoderConfig(head="single", shared_convolutions=3))

    def sizes(module: torch.nn.Module) -> list[tuple[int, int, int]]:
        convs = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
        return [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in convs]

    assert sizes(streams.shared) == [(256, 256, 3)] * 4
    assert sizes(streams.location) == [(256, 256, 3), (256, 42, 3)]
    assert sizes(streams.confidence) == [(256, 256, 3), (256, 21, 3)]
    assert sizes(single.shared) == [(256, 128, 1), (128, 256, 3)] * 3
    assert sizes(single.location) + sizes(single.confidence) == [(256, 42, 1), (256, 21, 1)]
