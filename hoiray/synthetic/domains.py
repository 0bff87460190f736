"""Domains: sets of nuisances under which the world is filmed, one named knob with a unit for each.

====== ===================== ====================================================================================
domain plays                 how
====== ===================== ====================================================================================
lab    HO-3D                 few people, objects and rooms; five synchronised still cameras, K known; long holds
wild   Something-Something   hundreds of people, objects and rooms; one camera in somebody's hand, K unknown,
                             240 px high, 12 fps; either hand, bystanders, blur, dark rooms, compression
ego    FPHA                  the camera on the head of the one who acts, 1920 x 1080, K known
studio FreiHAND              single 224 px images of all poses; half of the hands hold nothing
====== ===================== ====================================================================================
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from hoiray.errors import ConfigError, describe
from hoiray.synthetic.cameras import CameraKind
from hoiray.synthetic.environments import ENVIRONMENT_NAMES
from hoiray.synthetic.objects import GraspKind

DomainName: TypeAlias = Literal["lab", "wild", "ego", "studio"]
SizeName: TypeAlias = Literal["tiny", "demo", "small", "medium"]
Range: TypeAlias = tuple[float, float]
"""Smallest and largest value; drawn evenly between them, once a recording."""

DOMAIN_NAMES: tuple[DomainName, ...] = get_args(DomainName)
SIZE_NAMES: tuple[SizeName, ...] = get_args(SizeName)


@dataclass(frozen=True)
class Knobs:
    """Every nuisance of the world. Shares are probabilities a recording; ranges are drawn once a recording.

    Attributes:
        hand_speed_m_s: peak speed of the hand.
        turn_speed_rad_s: peak turn rate of the hand.
        close_s: time the fingers take to close or open.
        pause_s: mean of the rests between movements.
        carry_range_m: how far what is held is carried.
        carry_turn_rad: how far it is turned.
        tremor_m: root mean square trembling of the hand.
        left_share: of recordings with a left target hand.
        empty_hand_share: of hands that hold nothing.
        second_hand_share: of recordings in which the other hand of the same person is in view.
        other_person_share: of recordings with somebody else's hand in view.
        max_clutter_objects: things lying about that nobody touches.
        leave_frame_share: of recordings in which the hand comes from and goes out of the picture.
        grasp_weights: how often each kind of grasp is tried first.
        camera_kinds: kinds of cameras, one drawn a recording.
        camera_distance_m: from the action.
        camera_elevation_rad: above the action.
        field_of_view_rad: over the width; ignored where K is given.
        camera_roll_rad: standard deviation.
        aim_error_m: standard deviation of the point the camera looks at.
        shake_m, shake_rad: root mean square sway of a camera in a hand or on a head.
        exposure: factor on the light, 1 is right.
        low_light_share: of recordings in which the light is a fifth of that.
        shutter_share: exposure time over frame time: the length of motion blur.
        sensor_noise: standard deviation at mid grey, of 1.
        defocus_px: blur radius of the lens.
        compression_quality: JPEG-like quality, 100 is none worth speaking of; writers of video map it to a bit rate.
        sleeve_share: of people with long sleeves.
    """

    hand_speed_m_s: Range = (0.3, 0.7)
    turn_speed_rad_s: Range = (1.5, 3.0)
    close_s: Range = (0.35, 0.6)
    pause_s: Range = (0.1, 0.5)
    carry_range_m: Range = (0.05, 0.12)
    carry_turn_rad: Range = (0.5, 1.6)
    tremor_m: Range = (0.0001, 0.0003)
    left_share: float = 0.0
    empty_hand_share: float = 0.0
    second_hand_share: float = 0.0
    other_person_share: float = 0.0
    max_clutter_objects: int = 0
    leave_frame_share: float = 0.0
    grasp_weights: Mapping[GraspKind, float] = field(
        default_factory=lambda: {"power": 0.45, "precision": 0.25, "tripod": 0.12, "hook": 0.1, "lateral": 0.08}
    )
    camera_kinds: tuple[CameraKind, ...] = ("tripod",)
    camera_distance_m: Range = (0.55, 0.85)
    camera_elevation_rad: Range = (0.26, 0.96)
    field_of_view_rad: Range = (0.8, 1.1)
    camera_roll_rad: float = 0.05
    aim_error_m: float = 0.015
    shake_m: Range = (0.0, 0.0)
    shake_rad: Range = (0.0, 0.0)
    exposure: Range = (0.9, 1.1)
    low_light_share: float = 0.0
    shutter_share: Range = (0.0, 0.2)
    sensor_noise: Range = (0.004, 0.012)
    defocus_px: Range = (0.0, 0.4)
    compression_quality: Range = (90.0, 97.0)
    sleeve_share: float = 0.5


@dataclass(frozen=True)
class Extent:
    """How large a generated set is.

    Attributes:
        num_subjects: people who act; the splits share them out.
        num_objects: different objects.
        num_environments: different rooms.
        num_recordings, frames_per_recording: of every camera.
    """

    num_subjects: int
    num_objects: int
    num_environments: int
    num_recordings: int
    frames_per_recording: int


@dataclass(frozen=True)
class Domain:
    """Where and how recordings are made.

    Attributes:
        name, twin_of: of the domain and of the data set it plays.
        is_acted: something is done with the object; False: a hand is held still, turned any way.
        fps: frames a second.
        num_cameras: synchronised cameras of a recording.
        image_sizes: (height, width), one drawn a recording.
        K: focal lengths fx, fy and principal point cx, cy in px, or None: drawn from the field of view.
        object_names: base names; with `has_variants` each of `Extent.num_objects` is one of other proportions.
        knobs: the nuisances.
        extents: by size.
    """

    name: DomainName
    twin_of: str
    is_acted: bool
    fps: float
    num_cameras: int
    image_sizes: tuple[tuple[int, int], ...]
    K: tuple[float, float, float, float] | None
    object_names: tuple[str, ...]
    has_variants: bool
    knobs: Knobs
    extents: Mapping[SizeName, Extent]

    def num_frames(self, size: SizeName) -> int:
        """Images of a set of this size, all cameras together."""
        extent = self.extents[size]
        return extent.num_recordings * extent.frames_per_recording * self.num_cameras


LAB = Domain(
    name="lab",
    twin_of="HO-3D",
    is_acted=True,
    # HO-3D films at 30; every sixth frame tells a network as much, and a recording has one grasp: what a network learns
    # that also holds for others grows with the number of recordings
    fps=5.0,
    num_cameras=5,
    image_sizes=((480, 640),),
    # HO-3D's cameras are RealSense D415s; 617 px is the focal length of its published K at 640 x 480.
    K=(617.0, 617.0, 312.4, 241.4),
    object_names=(
        "006_mustard_bottle", "010_potted_meat_can", "021_bleach_cleanser", "003_cracker_box", "004_sugar_box",
        "011_banana", "025_mug", "035_power_drill", "019_pitcher_base",
    ),
    has_variants=False,
    knobs=Knobs(
        hand_speed_m_s=(0.2, 0.45), turn_speed_rad_s=(1.0, 2.2), carry_turn_rad=(0.9, 2.2), second_hand_share=0.1,
        grasp_weights={"power": 0.6, "precision": 0.25, "tripod": 0.08, "hook": 0.05, "lateral": 0.02},
        # up to 7 ms, as of 30 frames a second
        shutter_share=(0.0, 0.033),
    ),
    extents=MappingProxyType(
        {
            "tiny": Extent(3, 3, 2, 3, 4), "demo": Extent(12, 9, 4, 64, 10),
            "small": Extent(6, 9, 3, 40, 10), "medium": Extent(24, 9, 6, 400, 10),
        }
    ),
)  # fmt: skip

WILD = Domain(
    name="wild",
    twin_of="Something-Something V2",
    is_acted=True,
    fps=12.0,
    num_cameras=1,
    image_sizes=((240, 427), (240, 427), (240, 320), (240, 136)),
    K=None,
    object_names=(
        "can", "bottle", "mug", "box", "cube", "ball", "banana", "hammer", "screwdriver", "bowl", "cup", "marker",
        "book", "phone", "remote", "sponge", "milk_carton", "soap_pump",
    ),
    has_variants=True,
    knobs=Knobs(
        hand_speed_m_s=(0.35, 1.0), turn_speed_rad_s=(1.5, 4.5), close_s=(0.2, 0.5), pause_s=(0.02, 0.5),
        carry_range_m=(0.05, 0.22), carry_turn_rad=(0.3, 2.2), tremor_m=(0.0001, 0.0008), left_share=0.4,
        second_hand_share=0.35, other_person_share=0.12, max_clutter_objects=3, leave_frame_share=0.7,
        camera_kinds=("handheld", "handheld", "tripod"), camera_distance_m=(0.45, 0.85),
        camera_elevation_rad=(0.15, 1.15), field_of_view_rad=(0.7, 1.15), camera_roll_rad=0.12, aim_error_m=0.05,
        shake_m=(0.001, 0.008), shake_rad=(0.003, 0.025), exposure=(0.6, 1.5), low_light_share=0.2,
        shutter_share=(0.1, 0.8), sensor_noise=(0.005, 0.04), defocus_px=(0.0, 1.5), compression_quality=(35.0, 80.0),
        sleeve_share=0.6,
    ),
    extents=MappingProxyType(
        {
            "tiny": Extent(5, 5, 5, 5, 12), "demo": Extent(80, 80, 18, 80, 36),
            "small": Extent(50, 50, 18, 50, 40), "medium": Extent(400, 300, 18, 500, 40),
        }
    ),
)  # fmt: skip

EGO = Domain(
    name="ego",
    twin_of="FPHA",
    is_acted=True,
    fps=30.0,
    num_cameras=1,
    image_sizes=((1080, 1920),),
    # The colour camera of the First-Person Hand Action data set, as its authors publish it.
    K=(1395.749023, 1395.749268, 935.732544, 540.681030),
    object_names=("juice_bottle", "liquid_soap", "milk", "salt"),
    has_variants=False,
    knobs=Knobs(
        second_hand_share=0.5, max_clutter_objects=2, leave_frame_share=0.4, camera_kinds=("egocentric",),
        camera_distance_m=(0.42, 0.58), camera_elevation_rad=(0.7, 1.05), shake_m=(0.004, 0.015),
        shake_rad=(0.01, 0.04), exposure=(0.8, 1.2), shutter_share=(0.1, 0.5), compression_quality=(75.0, 92.0),
    ),
    extents=MappingProxyType(
        {
            "tiny": Extent(3, 4, 2, 4, 12), "demo": Extent(6, 4, 6, 16, 20),
            "small": Extent(6, 4, 6, 20, 100), "medium": Extent(6, 4, 10, 100, 200),
        }
    ),
)  # fmt: skip

STUDIO = Domain(
    name="studio",
    twin_of="FreiHAND",
    is_acted=False,
    fps=1.0,
    num_cameras=1,
    image_sizes=((224, 224),),
    K=None,
    object_names=WILD.object_names,
    has_variants=True,
    knobs=Knobs(
        empty_hand_share=0.5, camera_distance_m=(0.55, 0.95), camera_elevation_rad=(-0.6, 0.9),
        field_of_view_rad=(0.42, 0.56), camera_roll_rad=0.3, aim_error_m=0.012, exposure=(0.75, 1.3),
        shutter_share=(0.0, 0.0), sensor_noise=(0.004, 0.02), defocus_px=(0.0, 0.8), compression_quality=(80.0, 95.0),
    ),
    extents=MappingProxyType(
        {
            "tiny": Extent(3, 6, 4, 24, 1), "demo": Extent(32, 60, 18, 400, 1),
            "small": Extent(32, 60, 18, 2000, 1), "medium": Extent(32, 200, 18, 20000, 1),
        }
    ),
)  # fmt: skip

DOMAINS: Mapping[str, Domain] = MappingProxyType({domain.name: domain for domain in (LAB, WILD, EGO, STUDIO)})


def domain_of(name: str) -> Domain:
    """Look a domain up.

    Raises:
        ConfigError: there is none of that name.
    """
    if name not in DOMAINS:
        expected = f"one of {', '.join(DOMAINS)}"
        raise ConfigError(describe(what="domain", expected=expected, found=repr(name), fix="Correct the name."))
    return DOMAINS[name]


def extent_of(domain: Domain, size: str) -> Extent:
    """Look up how large a size is.

    Raises:
        ConfigError: there is none of that name.
    """
    for name, extent in domain.extents.items():
        if name == size:
            return extent
    expected = f"one of {', '.join(SIZE_NAMES)}"
    raise ConfigError(describe(what="size", expected=expected, found=repr(size), fix="Correct the name."))


def environments_of(extent: Extent, offset: int) -> tuple[str, ...]:
    """Choose the rooms of a set: `num_environments` names, starting from a place that depends on the seed."""
    names = ENVIRONMENT_NAMES
    return tuple(names[(offset + 7 * i) % len(names)] for i in range(min(extent.num_environments, len(names))))
