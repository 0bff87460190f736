"""A data set held in memory, with every freedom a file format does not leave: for the loader's edge cases."""

from dataclasses import dataclass, field

import cv2
import dataset_files as files
import numpy as np

from hoiray.datasets.sample import HandAnnotation, ManoParameters, Masks, ObjectAnnotation, ObjectModel, Sample
from hoiray.errors import InputError

SIZE_WH = (320, 240)
K = np.array([[300.0, 0.0, 158.0], [0.0, 300.0, 121.5], [0.0, 0.0, 1.0]])
BOX_POINTS = np.array([[x, y, z] for x in (-0.03, 0.03) for y in (-0.04, 0.04) for z in (-0.08, 0.08)])
OBJECT = "006_mustard_bottle"
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass
class MemoryDataset:
    samples: list[Sample]
    images: list[np.ndarray]
    object_masks: list[np.ndarray | None]
    name: str = "memory"
    split: str = "train"
    unreadable: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.samples)

    def sample(self, index: int) -> Sample:
        return self.samples[index]

    def image(self, sample: Sample) -> np.ndarray:
        index = int(sample.image_key)
        if index in self.unreadable:
            raise InputError(f"image {index}: expected a complete PNG, found half of one. Copy it again.")
        return self.images[index]

    def masks(self, sample: Sample) -> Masks | None:
        mask = self.object_masks[int(sample.image_key)]
        return None if mask is None else Masks(objects={OBJECT: mask})

    def object_model(self, name: str) -> ObjectModel | None:
        return ObjectModel(name, BOX_POINTS) if name == OBJECT else None


def project(points: np.ndarray, camera: np.ndarray = K) -> np.ndarray:
    """By the textbook, one point at a time."""
    seen = [camera @ (point / point[2]) for point in points]
    return np.array(seen)[:, :2]


def make_dataset(
    count: int = 4, *, is_right: bool = True, with_object: bool = True, with_K: bool = True, with_mano: bool = True
) -> MemoryDataset:
    hands = files.hands(count, tip_set="ho3d", is_right=is_right)
    samples, images, masks = [], [], []
    for i in range(count):
        mano = ManoParameters(hands.global_orient[i], hands.hand_pose[i], hands.betas[i], hands.transl[i])
        hand = HandAnnotation(
            is_right=is_right,
            mano=mano if with_mano else None,
            joints_3d=hands.joints[i],
            joints_2d_px=None if with_K else project(hands.joints[i]),
            tip_set="ho3d",
        )
        T = np.eye(4)
        T[:3, :3] = files.rotation(np.array([0.3 * i, 0.7, -0.4]))
        T[:3, 3] = hands.joints[i, 9] + [0.02, 0.01, 0.03]
        objects = (ObjectAnnotation(OBJECT, T),) if with_object else ()
        samples.append(Sample(f"{i:04d}", "r", "s", None, i, str(i), K if with_K else None, (hand,), objects))
        mask = np.zeros(SIZE_WH[::-1], dtype=np.uint8)
        hull = cv2.convexHull(np.rint(project(BOX_POINTS @ T[:3, :3].T + T[:3, 3])).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
        image = textured(i)
        image[mask.astype(bool)] = (30, 200, 60)
        images.append(image)
        masks.append(mask.astype(bool) if with_object else None)
    return MemoryDataset(samples, images, masks)


def textured(seed: int) -> np.ndarray:
    """Smooth enough to be resampled, different everywhere."""
    noise = np.random.default_rng(seed).uniform(40, 215, (12, 16, 3)).astype(np.float32)
    return cv2.resize(noise, SIZE_WH, interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def mirrored_world(dataset: MemoryDataset) -> MemoryDataset:
    """The same instants seen in a mirror: every left hand is a right one; written down from the definition."""
    width = SIZE_WH[0]
    samples = []
    for sample in dataset.samples:
        (hand,) = sample.hands
        mano = hand.mano
        assert mano is not None
        assert hand.joints_3d is not None
        flipped = ManoParameters(
            mano.global_orient * [1, -1, -1],
            (mano.hand_pose.reshape(15, 3) * [1, -1, -1]).ravel(),
            mano.betas,
            mano.transl * MIRROR,
        )
        other = HandAnnotation(True, flipped, hand.joints_3d * MIRROR, tip_set=hand.tip_set)
        camera = np.array([[K[0, 0], 0, width - 1 - K[0, 2]], K[1], K[2]])
        objects = []
        for item in sample.objects:
            assert item.T_cam_obj is not None
            M = np.diag([-1.0, 1.0, 1.0, 1.0])
            objects.append(ObjectAnnotation(item.name, M @ item.T_cam_obj @ M))
        place = (sample.sample_id, "r", "s", None, sample.frame_index, sample.image_key)
        samples.append(Sample(*place, camera, (other,), tuple(objects)))
    flipped_images = [np.ascontiguousarray(image[:, ::-1]) for image in dataset.images]
    flipped_masks = [None if mask is None else np.ascontiguousarray(mask[:, ::-1]) for mask in dataset.object_masks]
    return MemoryDataset(samples, flipped_images, flipped_masks)
