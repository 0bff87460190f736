"""The tables on the data's way: every column with its type, shape, unit and meaning, in this package and nowhere else.

::

    videos ─► boxes, shards (the plan) ─► predictions ─► labels ─► training        dead_letters: what was given up
                                           └ one commit marker a shard ┘           limits: what calibration found
                                                                                   truth_hands, truth_objects: what is
                                                                                   true of every synthetic frame

Vectors are Arrow fixed-size lists, flattened row by row (``joints_3d``, shape (21, 3), is a list of 63), never tensor
extension types: Ray hands the latter to a group-by as an array of arrays. Absence is a null. A *measurement* that
could not be taken is NaN, and then ``unmeasured`` holds ``<column>:<why>``; ``conform`` checks that one never comes
without the other.

Coordinates: OpenCV camera axes (x right, y down, z forward), metres; pixels of the full image with the centre of the
first pixel at (0, 0). Joints are in the simple order (wrist, then thumb to pinky, each from base to tip), MANO's pose
in MANO's own order. A zero ``hand_pose`` is the flat hand: whoever writes the column converts from the predictor's
convention, whoever reads it adds no mean.
"""
