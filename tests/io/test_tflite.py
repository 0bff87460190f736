from pathlib import Path

import numpy as np
import pytest
from landmark_files import needs_landmarks, network_file

from hoiray.errors import ContractError
from hoiray.io.tflite import OPERATORS, read_graph


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "network.tflite"
    path.write_bytes(b"PK\x03\x04 no flatbuffer at all")
    with pytest.raises(ContractError, match=r"network\.tflite: expected a \.tflite file"):
        read_graph(path)


@needs_landmarks
def test_weights_are_unpacked_to_floats_and_nothing_is_left_to_dequantize() -> None:
    graph = read_graph(network_file("hand_landmark_full"))
    assert {operator.name for operator in graph.operators} <= set(OPERATORS.values()) - {"dequantize"}
    first = graph.operators[0]
    assert first.name == "conv_2d"
    assert first.options == {"padding": 0, "stride": 2, "activation": 3}
    weight = graph.constants[first.inputs[1]]
    assert (weight.shape, weight.dtype) == ((24, 3, 3, 3), np.float32)


@needs_landmarks
def test_every_input_of_an_operator_is_computed_before_it_or_constant() -> None:
    graph = read_graph(network_file("palm_detection_full"))
    known = {*graph.inputs, *graph.constants}
    for operator in graph.operators:
        assert set(operator.inputs) <= known
        known |= set(operator.outputs)
    assert set(graph.outputs) <= known
    assert [graph.shapes[number] for number in graph.outputs] == [(1, 2016, 18), (1, 2016, 1)]
