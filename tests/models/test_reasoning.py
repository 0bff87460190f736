import math

import pytest
import torch
from torch import Tensor

from hoiray.config.network import ReasoningConfig
from hoiray.models.reasoning import ContextualReasoning, CrossAttention

CHANNELS, CELLS = 6, 3
MEETS = torch.tensor([True, False])


def features(seed: int) -> Tensor:
    return torch.randn(2, CHANNELS, CELLS, CELLS, generator=torch.Generator().manual_seed(seed))


def make(config: ReasoningConfig) -> ContextualReasoning:
    torch.manual_seed(0)
    return ContextualReasoning(CHANNELS, config)


def by_the_paper(layer: CrossAttention, query: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
    """Eq. 1 to 4, one cell at a time; query and context (C, R, R)."""
    tokens, others = query.flatten(1).T, context.flatten(1).T
    keys, values = layer.key(others), layer.value(others)
    out, rows = [], []
    for token in tokens:
        scores = torch.stack([layer.query(token) @ key / math.sqrt(CHANNELS) for key in keys])
        weights = torch.softmax(scores, dim=0)
        attended = token + sum(weight * value for weight, value in zip(weights, values, strict=True))
        out.append(attended + layer.mlp(attended))
        rows.append(weights)
    return torch.stack(out).T.reshape(query.shape), torch.stack(rows)


def test_a_layer_is_the_papers_equations() -> None:
    reasoning = make(ReasoningConfig())
    query, context = features(1), features(2)
    enhanced, attention = reasoning(query, context, torch.ones(2, dtype=torch.bool), wants_map=True)
    assert attention is not None
    for row in range(2):
        expected, expected_map = by_the_paper(reasoning.layers[0], query[row], context[row])
        torch.testing.assert_close(enhanced[row], expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(attention[row, 0], expected_map, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("heads", [1, 3])
def test_asking_for_the_map_changes_no_feature(heads: int) -> None:
    reasoning = make(ReasoningConfig(heads=heads, layers=2))
    with_map = reasoning(features(1), features(2), MEETS, wants_map=True)
    without = reasoning(features(1), features(2), MEETS)
    torch.testing.assert_close(with_map.features, without.features)
    assert without.attention is None
    assert with_map.attention is not None
    assert with_map.attention.shape == (2, heads, CELLS**2, CELLS**2)
    torch.testing.assert_close(with_map.attention[0].sum(dim=-1), torch.ones(heads, CELLS**2))


def test_nothing_is_attended_to_where_the_boxes_do_not_meet() -> None:
    reasoning = make(ReasoningConfig())
    query = features(1)
    first, second = (reasoning(query, features(seed), MEETS, wants_map=True) for seed in (2, 3))
    torch.testing.assert_close(first.features[1], second.features[1])
    assert not torch.allclose(first.features[0], second.features[0])
    assert first.attention is not None
    assert (first.attention[1] == 0.0).all()
    layer = reasoning.layers[0]
    tokens = query[1].flatten(1).T
    torch.testing.assert_close(first.features[1].flatten(1).T, tokens + layer.mlp(tokens))


def test_the_released_code_adds_a_learned_constant_there() -> None:
    reasoning = make(ReasoningConfig(empty_intersection="zero_features"))
    query = features(1)
    enhanced = reasoning(query, features(2), MEETS).features
    layer = reasoning.layers[0]
    tokens = query[1].flatten(1).T + layer.value.bias
    torch.testing.assert_close(enhanced[1].flatten(1).T, tokens + layer.mlp(tokens))


def test_an_empty_intersection_sends_no_gradient_to_its_features() -> None:
    reasoning = make(ReasoningConfig())
    context = features(2).requires_grad_()
    reasoning(features(1), context, MEETS).features.sum().backward()
    assert context.grad is not None
    assert (context.grad[1] == 0.0).all()
    assert (context.grad[0] != 0.0).any()


def test_layer_norms_before_attention_change_the_result() -> None:
    plain, normed = make(ReasoningConfig()), make(ReasoningConfig(norm="attention_and_mlp"))
    big = features(1) * 10.0
    assert not torch.allclose(plain(big, features(2), MEETS).features, normed(big, features(2), MEETS).features)
    assert sum(p.numel() for p in normed.parameters()) - sum(p.numel() for p in plain.parameters()) == 4 * CHANNELS
