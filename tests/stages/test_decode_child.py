from hoiray.stages.decode_child import DecodeRequest
from hoiray.stages.frame_selection import FrameSelection


def test_a_request_survives_its_message() -> None:
    for numbers in (None, (1, 5)):
        selection = FrameSelection(sample_rate_hz=12.0, frame_indices=numbers, first_frame_index=1, num_frames=9)
        request = DecodeRequest("a.mp4", "s3://b/a.mp4", selection, "auto", 0, 16, 1 << 24)
        assert DecodeRequest.of(request.to_message()) == request
