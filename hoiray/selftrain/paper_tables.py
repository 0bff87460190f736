"""The paper's tables: their arms, their columns, their own numbers, and what they claim.

Numbers are those printed in Liu et al., CVPR 2021: Tables 2, 3, 4, 5, 8. Figure 9 prints none. They are of real data
(HO-3D, FPHA, FreiHAND) and a network of ResNet-50; those of the twin stand beside them to compare signs, not sizes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

ADD: Final = "objects ho3d-add-aabb"
"""The protocol of the paper's tables: a tenth of the diagonal of the object's box."""


@dataclass(frozen=True)
class Measure:
    """One column.

    Attributes:
        title: as the paper has it.
        test: set it is measured on.
        table, row: where `evaluation.json` has it.
        scale: from the file's unit to the paper's.
        decimals: shown.
        is_error: less is better.
        cell: of that row; None: the score of hands, the accuracy of objects.
    """

    title: str
    test: str
    table: str
    row: str
    scale: float = 1.0
    decimals: int = 1
    is_error: bool = False
    cell: str | None = None


def _hands(test: str, prefix: str = "") -> tuple[Measure, ...]:
    return (
        Measure(f"{prefix}joint, mm", test, "hands", "pa_mpjpe_mm", decimals=2, is_error=True),
        Measure(f"{prefix}mesh, mm", test, "hands", "pa_mpvpe_mm", decimals=2, is_error=True),
        Measure(f"{prefix}F@5", test, "hands", "pa_f_at_5mm", 100.0),
        Measure(f"{prefix}F@15", test, "hands", "pa_f_at_15mm", 100.0),
    )


def _curves(test: str, prefix: str) -> tuple[Measure, ...]:
    return (
        Measure(f"{prefix} AUC joint", test, "hands", "pa_joint_auc", 100.0),
        Measure(f"{prefix} AUC mesh", test, "hands", "pa_vertex_auc", 100.0),
        Measure(f"{prefix} F@5", test, "hands", "pa_f_at_5mm", 100.0),
        Measure(f"{prefix} F@15", test, "hands", "pa_f_at_15mm", 100.0),
    )


MEAN_ADD: Final = Measure("ADD-0.1D ave", "lab", ADD, "mean over objects")
ADD_S: Final = Measure("ADD-S, all nine", "lab", "objects add-s-aabb", "mean over objects")
"""Not in the paper: to the nearest point, over all objects. A network of this size seldom meets ADD-0.1D, so that a
difference of few correct poses says little; by this measure about half of them are correct."""
ADD_S_AUC: Final = Measure("ADD-S AUC, all nine", "lab", "objects add-s-aabb", "mean over objects", cell="auc")
"""Not in the paper either, but usual for these objects: an error counts for what it is, and not for the side of a limit
it happens to lie on, so that seeds differ much less in it."""
_OBJECTS: Final = (
    Measure("cleanser", "lab", ADD, "021_bleach_cleanser"),
    Measure("bottle", "lab", ADD, "006_mustard_bottle"),
    Measure("can", "lab", ADD, "010_potted_meat_can"),
    MEAN_ADD,
)
_MPJPE: Final = Measure("MPJPE, mm", "lab", "hands", "mpjpe_mm", is_error=True)
WILD_JOINTS: Final = Measure("wild joint, mm", "wild", "hands", "pa_mpjpe_mm", decimals=2, is_error=True)
_WILD: Final = (
    WILD_JOINTS,
    Measure("wild MPJPE, mm", "wild", "hands", "mpjpe_mm", is_error=True),
)
"""Not in the paper, which has no truth of its videos."""


@dataclass(frozen=True)
class Claim:
    """That an arm is better than another: by the paper's words, or what the method is for.

    Attributes:
        says: in words.
        arm, baseline: the arm that is said to be better, and the one it is compared with.
        measure: by which.
        paper: the paper's own difference (arm minus baseline), None where it prints none.
    """

    says: str
    arm: str
    baseline: str
    measure: Measure
    paper: float | None = None


@dataclass(frozen=True)
class PaperTable:
    """A table.

    Attributes:
        title: of it.
        arms: of the twin, in the paper's order and then ours.
        measures: columns.
        numbers: the paper's, by arm, one a column of the paper; None where it has none.
        claims: tested by paired differences over seeds.
        note: what must be known to read it.
    """

    title: str
    arms: tuple[str, ...]
    measures: tuple[Measure, ...]
    numbers: Mapping[str, tuple[float | None, ...]]
    claims: tuple[Claim, ...]
    note: str = ""
    tests: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note the sets its measures need."""
        tests = dict.fromkeys(measure.test for measure in (*self.measures, *(claim.measure for claim in self.claims)))
        object.__setattr__(self, "tests", tuple(tests))


_JOINT, _MESH, _F5, _F15 = _hands("lab")

TABLES: Final[Mapping[str, PaperTable]] = MappingProxyType(
    {
        "table2": PaperTable(
            "Table 2: queries of the contextual reasoning",
            ("sup_none", "sup_hand", "sup_hand_object", "sup_object"),
            (*_hands("lab"), *_OBJECTS, ADD_S, ADD_S_AUC, _MPJPE),
            {
                "sup_none": (10.2, 9.7, 53.7, 94.9, 75.3, 59.1, 52.1, 62.2),
                "sup_hand": (10.3, 9.8, 52.7, 94.9, 85.4, 67.8, 54.4, 69.2),
                "sup_hand_object": (10.7, 10.3, 51.6, 94.3, 86.9, 69.6, 53.2, 69.9),
                "sup_object": (10.1, 9.7, 53.2, 95.2, 88.1, 61.9, 53.0, 67.7),
            },
            (
                Claim("contextual reasoning of the object helps the object", "sup_object", "sup_none", MEAN_ADD, 5.5),
                Claim("the same, by ADD-S over all objects", "sup_object", "sup_none", ADD_S),
                Claim("the same, by the area under ADD-S's curve", "sup_object", "sup_none", ADD_S_AUC),
                Claim("and the hand", "sup_object", "sup_none", _JOINT, -0.1),
                Claim("hands are better without any than with h+o+", "sup_none", "sup_hand_object", _JOINT, -0.5),
            ),
        ),
        "table3": PaperTable(
            "Table 3: supervised and semi-supervised, with and without contextual reasoning",
            ("sup_none", "semi_none", "sup_object", "semi_object", "semi_few"),
            (*_hands("lab"), *_OBJECTS, ADD_S, ADD_S_AUC, _MPJPE, *_WILD),
            {
                "sup_none": (10.2, 9.7, 53.7, 94.9, 75.3, 59.1, 52.1, 62.2),
                "semi_none": (10.1, 9.6, 53.7, 95.2, 88.8, 68.9, 49.8, 69.2),
                "sup_object": (10.1, 9.7, 53.2, 95.2, 88.1, 61.9, 53.0, 67.7),
                "semi_object": (9.9, 9.5, 52.6, 95.5, 92.2, 80.4, 55.7, 76.1),
            },
            (
                Claim("the student's hands are better than its teacher's", "semi_object", "sup_object", _JOINT, -0.2),
                Claim("and so are its objects", "semi_object", "sup_object", MEAN_ADD, 8.4),
                Claim("the same, by ADD-S over all objects", "semi_object", "sup_object", ADD_S),
                Claim("the same, by the area under ADD-S's curve", "semi_object", "sup_object", ADD_S_AUC),
                Claim("also without contextual reasoning: objects", "semi_none", "sup_none", MEAN_ADD, 7.0),
                Claim("its hands are nearer to the true orientation, too", "semi_object", "sup_object", _MPJPE),
                Claim("the student is better on videos like the labelled", "semi_object", "sup_object", _WILD[0]),
                Claim("and nearer to the true orientation there", "semi_object", "sup_object", _WILD[1]),
                Claim("with few labels in a batch: hands", "semi_few", "sup_object", _JOINT),
                Claim("with few: orientation", "semi_few", "sup_object", _MPJPE),
                Claim("with few: videos like the labelled", "semi_few", "sup_object", _WILD[0]),
                Claim("with few: orientation there", "semi_few", "sup_object", _WILD[1]),
            ),
            "The last row is ours: labels are 15 % of every batch; in the others they are as many as their share in all"
            " there is to draw from, a third or so.",
        ),
        "table4": PaperTable(
            "Table 4: filters, at equal number of labels",
            ("sup_object", "no_spatial", "no_temporal", "semi_object", "random", "low_spread", "oracle"),
            (*_hands("lab"), _MPJPE, *_WILD),
            {
                "sup_object": (10.1, 9.7, 53.2, 95.2),
                "no_spatial": (10.3, 9.9, 50.5, 95.0),
                "no_temporal": (10.3, 9.8, 51.6, 95.1),
                "semi_object": (9.9, 9.5, 52.6, 95.5),
            },
            (
                Claim("spatial filters matter", "semi_object", "no_spatial", _JOINT, -0.4),
                Claim("temporal filters matter", "semi_object", "no_temporal", _JOINT, -0.4),
                Claim("all filters beat labels drawn at random", "semi_object", "random", _JOINT),
                Claim("a choice by the truth beats all filters", "oracle", "semi_object", _JOINT),
                Claim("on videos like the labelled, spatial filters matter", "semi_object", "no_spatial", _WILD[0]),
                Claim("there, temporal filters matter", "semi_object", "no_temporal", _WILD[0]),
                Claim("there, all filters beat labels drawn at random", "semi_object", "random", _WILD[0]),
                Claim("there, a choice by the truth beats all filters", "oracle", "semi_object", _WILD[1]),
            ),
            "The last three rows are ours: as many labels drawn at random, those of the lowest spread among the"
            " ensemble's views, and those of the lowest true error about the wrist, which no real run could choose.",
        ),
        "table5": PaperTable(
            "Table 5: other worlds (ego is the twin of FPHA, studio of FreiHAND)",
            ("sup_object", "semi_object"),
            (*_curves("ego", "ego"), *_curves("studio", "studio")),
            {
                "sup_object": (74.1, 74.6, 43.6, 91.7, 69.1, 68.2, 34.8, 85.3),
                "semi_object": (75.4, 76.0, 45.7, 93.1, 70.6, 69.6, 36.3, 86.6),
            },
            (
                Claim("the student is better on FPHA", "semi_object", "sup_object", _curves("ego", "ego")[0], 1.3),
                Claim(
                    "the student is better on FreiHAND",
                    "semi_object",
                    "sup_object",
                    _curves("studio", "studio")[0],
                    1.5,
                ),
            ),
        ),
        "table8": PaperTable(
            "Table 8: data distillation (no filters) and the method, on ego",
            ("unfiltered", "semi_object"),
            _curves("ego", "ego"),
            {"unfiltered": (74.9, 75.4, 44.8, 92.5), "semi_object": (75.4, 76.0, 45.7, 93.1)},
            (Claim("filters beat data distillation", "semi_object", "unfiltered", _curves("ego", "ego")[0], 0.5),),
            "The paper's first row, another author's network, has no twin.",
        ),
        "figure9": PaperTable(
            "Figure 9: share of the labels that is used",
            ("sup_object", "part_20", "part_40", "part_60", "part_80", "semi_object"),
            (MEAN_ADD, ADD_S, ADD_S_AUC, _JOINT, *_WILD),
            {},
            (
                Claim("more labels, better objects: all against a fifth", "semi_object", "part_20", MEAN_ADD),
                Claim("the same, by ADD-S over all objects", "semi_object", "part_20", ADD_S),
                Claim("the same, by the area under ADD-S's curve", "semi_object", "part_20", ADD_S_AUC),
                Claim("a fifth is better than none", "part_20", "sup_object", MEAN_ADD),
                Claim("more labels, better hands in such videos", "semi_object", "part_20", _WILD[1]),
            ),
            "The paper's figure prints no numbers.",
        ),
    }
)
