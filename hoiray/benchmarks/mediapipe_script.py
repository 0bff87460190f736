"""A plain script around MediaPipe Hands, run by a Python that has the package: what people write who need hands now.

It imports nothing of hoiray: `python mediapipe_script.py video|image CLIP ...` says that it is ready, and for every
line goes through the clips once and says the seconds, the frames, and the hands that were found. `video` follows hands
from frame to frame; `image` looks at every frame anew, as `track_hands` of daft-physical-ai calls it.
"""

import importlib
import sys
import time
from collections.abc import Sequence
from typing import Any


def run(hands: Any, clips: Sequence[str]) -> tuple[int, int]:  # noqa: ANN401 - of a package without types
    """Go through the clips; return the number of frames, and of hands with 21 points in the image and in space."""
    cv2 = importlib.import_module("cv2")
    cv2.setNumThreads(0)
    num_frames = num_hands = 0
    for clip in clips:
        video = cv2.VideoCapture(clip)
        while True:
            is_there, frame = video.read()
            if not is_there:
                break
            found = hands.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
            num_frames += 1
            for image, world in zip(
                found.multi_hand_landmarks or (), found.multi_hand_world_landmarks or (), strict=True
            ):
                num_hands += bool(image.landmark) and bool(world.landmark)
        video.release()
    return num_frames, num_hands


def main(arguments: Sequence[str]) -> None:
    """Answer every line until there are no more."""
    mode, *clips = arguments
    solutions = importlib.import_module("mediapipe").solutions
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for _line in sys.stdin:
        # a new one for every turn: it begins without hands it has seen before
        with solutions.hands.Hands(static_image_mode=mode == "image", max_num_hands=2, model_complexity=1) as hands:
            begin = time.perf_counter()
            num_frames, num_hands = run(hands, clips)
            sys.stdout.write(f"{time.perf_counter() - begin} {num_frames} {num_hands}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
