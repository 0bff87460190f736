"""Contextual reasoning: a region's cells attend to the cells of the hand-object intersection (paper, section 4.1)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from hoiray.config.network import ReasoningConfig


class Reasoned(NamedTuple):
    """Enhanced features and who looked where.

    Attributes:
        features: (B, C, R, R).
        attention: (B, heads, R * R, R * R) of the last layer, rows sum to 1, zeros where nothing was attended to; None
            unless asked for.
    """

    features: Tensor
    attention: Tensor | None


class CrossAttention(nn.Module):
    """One layer: `x + Att(q(x), k(y), v(y))`, then `x + MLP(LN(x))` (Eq. 2 to 4)."""

    def __init__(self, channels: int, config: ReasoningConfig) -> None:
        """Make a layer.

        Args:
            channels: of both features; the attention's width too.
            config: heads, width of the MLP, layer norms.
        """
        super().__init__()
        self.num_heads = config.heads
        self.skips_empty = config.empty_intersection == "skip"
        has_norms = config.norm == "attention_and_mlp"
        self.query_norm = nn.LayerNorm(channels) if has_norms else nn.Identity()
        self.context_norm = nn.LayerNorm(channels) if has_norms else nn.Identity()
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        hidden = max(round(channels * config.mlp_ratio), 1)
        self.mlp = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, hidden), nn.GELU(), nn.Linear(hidden, channels)
        )

    def forward(self, tokens: Tensor, context: Tensor, meets: Tensor, *, wants_map: bool) -> Reasoned:
        """Let tokens (B, N, C) attend to context (B, M, C) where `meets` (B,) says that there is one."""
        context = self.context_norm(context)
        query, key, value = (
            self._split(layer(x))
            for layer, x in ((self.query, self.query_norm(tokens)), (self.key, context), (self.value, context))
        )
        attention = self._map(query, key) if wants_map else None
        attended = scaled_dot_product_attention(query, key, value) if attention is None else attention @ value
        update = attended.transpose(1, 2).flatten(2)
        if self.skips_empty:
            update = update * meets[:, None, None].to(update.dtype)
            attention = None if attention is None else attention * meets[:, None, None, None].to(attention.dtype)
        tokens = tokens + update
        return Reasoned(tokens + self.mlp(tokens), attention)

    def _split(self, tokens: Tensor) -> Tensor:
        """(B, N, C) to (B, heads, N, C / heads)."""
        return tokens.reshape(*tokens.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _map(self, query: Tensor, key: Tensor) -> Tensor:
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        return torch.softmax(scores, dim=-1)


class ContextualReasoning(nn.Module):
    """Enhance one region's features by what the intersection shows."""

    def __init__(self, channels: int, config: ReasoningConfig) -> None:
        """Make `config.layers` layers."""
        super().__init__()
        self.zeroes_empty = config.empty_intersection == "zero_features"
        self.layers = nn.ModuleList(CrossAttention(channels, config) for _ in range(config.layers))

    def forward(self, query: Tensor, intersection: Tensor, meets: Tensor, *, wants_map: bool = False) -> Reasoned:
        """Enhance features.

        Args:
            query: (B, C, R, R), of the hand or the object.
            intersection: (B, C, R, R).
            meets: (B,) bool, whether there is an intersection.
            wants_map: return the attention too; slower, and memory for (R * R)^2 numbers a sample.
        """
        if self.zeroes_empty:
            intersection = torch.where(meets[:, None, None, None], intersection, torch.zeros_like(intersection))
        tokens, context = (x.flatten(2).transpose(1, 2) for x in (query, intersection))
        attention: Tensor | None = None
        for layer in self.layers:
            tokens, attention = layer(tokens, context, meets, wants_map=wants_map)
        return Reasoned(tokens.transpose(1, 2).reshape(query.shape), attention)
