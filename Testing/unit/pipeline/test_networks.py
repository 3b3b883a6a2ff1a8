"""The architectures are those of the papers where they should be, and start as they should."""

from __future__ import annotations

import pytest
import torch
from COVIDSelfSegLib.networks.discriminator import Discriminator
from COVIDSelfSegLib.networks.generator import Generator, draw_latent
from COVIDSelfSegLib.networks.nested_generator import NestedGenerator
from COVIDSelfSegLib.networks.r50_vit import R50VitTransUNet
from COVIDSelfSegLib.networks.slice_network import every
from COVIDSelfSegLib.networks.transunet import CompactTransUNet
from COVIDSelfSegLib.networks.unet import DenseLstmUNet
from torch import nn


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_papers_generator_has_7_86_million_parameters() -> None:
    assert parameters(Generator()) == 7_861_643


def test_the_papers_u_net_has_about_5_million_parameters() -> None:
    assert 4.8e6 < parameters(DenseLstmUNet()) < 5.3e6


def test_the_compact_transunet_fits_in_14_mib_of_half_precision() -> None:
    assert 2 * parameters(CompactTransUNet()) < 14 * 2**20


@pytest.mark.parametrize("composite", [False, True], ids=["the paper's", "as the shipped one"])
def test_the_generator_is_a_dense_u_net_whose_bottleneck_takes_in_the_latent_block(composite: bool) -> None:
    """Written out after the 2022 paper (section 2.2, figure 1); the shipped weights need every step of it."""
    torch.manual_seed(0)
    network = Generator(base_width=2, composite=composite, lung_channel=composite)
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv3d)]
    assert [part.kernel_size[0] for part in convolutions] == 9 * [3] + [1, 3, 5] + 9 * [3] + [1]
    layers, ups = iter(convolutions), iter(network.ups)
    given = torch.rand(1, 1 + composite, 16, 32, 32)
    latent = 20 * draw_latent(given)

    def act(x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(x, 0.3 * x)

    def pair(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = act(next(layers)(x))
        b = act(next(layers)(torch.cat([x, a], 1)))
        return torch.cat([x, b], 1), b

    x, skips = given, []
    for level in range(4):
        x, b = pair(x)
        skips.append(x if level == 3 else b)
        x = nn.functional.max_pool3d(x, 2)
    h = torch.cat([x, act(next(layers)(x))], 1)
    noisy = torch.cat([h, latent], 1)
    h = h + torch.cat([act(next(layers)(noisy)) for _ in range(3)], 1)
    x = torch.cat([x, act(next(layers)(h))], 1)
    for skip in reversed(skips):
        x, _ = pair(torch.cat([next(ups)(x), skip], 1))
    painted = next(layers)(x)
    expected, volume = nn.functional.relu(painted), given[:, :1]
    if composite:  # GASNet's share of what is painted anew; the rest is copied
        fresh, share = torch.sigmoid(painted).split(1, 1)
        expected = volume + share * (fresh - volume)
    torch.testing.assert_close(network(given, latent).volume, expected)


def test_the_compact_transunet_is_a_residual_encoder_a_pre_norm_vit_and_an_upsampler_with_skips() -> None:
    """Written out; the shipped weights need every step of it."""
    torch.manual_seed(0)
    network = CompactTransUNet(width=8, blocks=2, heads=2, mlp=16, position_grid=(4, 6))
    with torch.no_grad():
        for parameter in network.parameters():  # none may stay at its start of 0 or 1
            parameter.add_(0.2 * torch.randn_like(parameter))
    given = torch.rand(2, 4, 32, 48)

    def act(x: torch.Tensor, norm: nn.Module) -> torch.Tensor:
        channels = x.shape[1]
        x = nn.functional.group_norm(x, min(8, channels // 2), norm.weight, norm.bias)
        return x * torch.sigmoid(x)

    def doubled(x: torch.Tensor) -> torch.Tensor:
        """Each pixel becomes 2 x 2, a quarter of a pixel off its centre."""
        for axis in (2, 3):
            count = x.shape[axis]
            before = x.index_select(axis, torch.arange(count).sub(1).clamp(min=0))
            after = x.index_select(axis, torch.arange(count).add(1).clamp(max=count - 1))
            both = torch.stack([(3 * x + before) / 4, (3 * x + after) / 4], axis + 1)
            x = both.flatten(axis, axis + 1)
        return x

    x, skips = network.stem(given), []
    for stage in network.stages:
        skips.append(x)
        for block, stride in zip(stage.blocks, (2, 1), strict=True):
            activated = act(x, block.norm1)
            kept = x
            if stride == 2:
                kept = nn.functional.conv2d(activated, block.shortcut.weight, stride=2)
            halved = nn.functional.conv2d(activated, block.conv1.weight, stride=stride, padding=1)
            x = kept + block.conv2(act(halved, block.norm2))
    x = x + nn.functional.avg_pool2d(network.positions, 2)  # its table is twice as fine as this grid
    tokens = x.flatten(2).transpose(1, 2)
    for block in network.blocks:
        parts = block.to_qkv(block.norm1(tokens)).chunk(3, 2)
        heads = zip(*(part.chunk(2, 2) for part in parts), strict=True)
        attended = [torch.softmax(q @ k.mT / q.shape[2] ** 0.5, 2) @ v for q, k, v in heads]
        tokens = tokens + block.from_attention(torch.cat(attended, 2))
        wide = block.widen(block.norm2(tokens))
        tokens = tokens + block.narrow(wide * (1 + torch.erf(wide / 2**0.5)) / 2)
    tokens = network.norm(tokens)
    embedding = network.project(tokens.mean(1))
    x = tokens.transpose(1, 2).unflatten(2, (2, 3))
    for up, skip in zip(network.ups, reversed(skips), strict=True):
        x = torch.cat([doubled(up.reduce(x)), skip], 1)
        x = act(up.conv2(act(up.conv1(x), up.norm1)), up.norm2)
    logits, told = network.forward_with_embedding(given)
    torch.testing.assert_close(logits, network.head(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(told, embedding / embedding.norm(dim=1, keepdim=True), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [1, 2, 4])
def test_every_width_of_the_generator_follows_the_base_width(width: int) -> None:
    network = Generator(base_width=width, lung_channel=True)
    x = torch.rand(2, 2, 16, 32, 48)
    made = network(x, draw_latent(x))
    assert made.volume.shape == (2, 1, 16, 32, 48)
    assert made.volume.min() >= 0


def test_the_latent_block_changes_the_outcome_and_its_seed_repeats_it() -> None:
    torch.manual_seed(0)
    network = Generator(base_width=2)
    x = torch.rand(1, 1, 16, 16, 16)
    latents = [draw_latent(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert latents[0].shape == (1, 10, 1, 1, 1)
    assert latents[0].abs().max() <= 0.5
    first, again, other = (network(x, latent).volume for latent in latents)
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_a_fresh_composite_generator_copies_nearly_everything() -> None:
    torch.manual_seed(0)
    network = Generator(base_width=2, composite=True)
    x = torch.rand(1, 1, 16, 32, 32)
    made = network(x, draw_latent(x))
    assert made.share.mean() < 0.25
    assert torch.allclose(made.volume, x, atol=0.3)
    assert (Generator(base_width=2)(x, draw_latent(x)).share == 1).all()


@pytest.mark.parametrize("form", ["text", "reference", "patch"])
def test_the_discriminator_judges_the_lung_and_nothing_else(form: str) -> None:
    torch.manual_seed(0)
    network = Discriminator(form).eval()
    volume = torch.rand(2, 1, 32, 64, 64)
    lungs = torch.zeros_like(volume)
    lungs[:, :, 8:24, 16:48, 16:48] = 1
    judged = network(volume * lungs, lungs)
    assert judged.shape[:2] == (2, 1)
    if form == "patch":
        outside = nn.functional.adaptive_avg_pool3d(lungs, judged.shape[2:]) == 0
        assert (judged[outside] == 0).all()
        anywhere = network(volume * lungs, torch.ones_like(lungs))
        assert torch.equal(judged[~outside], anywhere[~outside])


def test_the_papers_discriminator_has_five_convolutions_and_four_dense_layers() -> None:
    """Between them is the mean over the lung, each place as far as it holds lung."""
    torch.manual_seed(0)
    network = Discriminator("text", base_width=2).eval()
    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv3d)]
    dense = [part for part in network.modules() if isinstance(part, nn.Linear)]
    assert [part.out_channels for part in convolutions] == [2, 4, 8, 16, 32]
    assert [part.out_features for part in dense] == [32, 16, 8, 1]
    volume, lungs = torch.rand(2, 1, 32, 64, 64), torch.zeros(2, 1, 32, 64, 64)
    lungs[:, :, :, :40, 10:] = 1
    x = volume
    for part in convolutions:
        x = nn.functional.leaky_relu(nn.functional.conv3d(x, part.weight, part.bias, 2, 1), 0.2)
    share = nn.functional.avg_pool3d(lungs, 32)
    assert len(share.unique()) > 2
    x = (x * share).sum((2, 3, 4)) / share.sum((2, 3, 4))
    for part in dense[:-1]:
        x = nn.functional.leaky_relu(part(x), 0.2)
    torch.testing.assert_close(network(volume, lungs), dense[-1](x))


@pytest.mark.parametrize("form", ["text", "patch"])
def test_the_discriminators_layers_do_not_stretch(form: str) -> None:
    torch.manual_seed(0)
    network = Discriminator(form, base_width=4)
    volume = torch.rand(1, 1, 16, 32, 32)
    for _ in range(60):  # power iterations of the spectral norm
        network(volume, torch.ones_like(volume))
    network.eval()
    for part in network.modules():
        if isinstance(part, nn.Linear | nn.Conv3d):
            assert torch.linalg.matrix_norm(part.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(
    "network",
    [
        CompactTransUNet(width=8, blocks=2, heads=2, mlp=32),
        DenseLstmUNet(in_channels=4, width=4),
        R50VitTransUNet(width=8, units=(1, 1, 1), blocks=2, heads=4),
    ],
)
def test_a_2d_network_gives_logits_of_its_input_size_and_unit_embeddings(network: nn.Module) -> None:
    for size in ((64, 80), (192, 256)):
        logits, embedding = network.forward_with_embedding(torch.rand(2, 4, *size))
        assert logits.shape == (2, 1, *size)
        assert torch.allclose(embedding.norm(dim=1), torch.ones(2), atol=1e-5)


def test_the_attention_of_a_fresh_transunet_is_not_one_hot() -> None:
    """A public small TransUNet multiplies attention logits by sqrt(d): every head then looks at one token."""
    torch.manual_seed(0)
    block = CompactTransUNet().blocks[0]
    tokens = torch.randn(1, 192, 256)
    qkv = block.to_qkv(block.norm1(tokens)).view(1, 192, 3, block.heads, -1).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(qkv[0] @ qkv[1].transpose(-1, -2) / qkv[0].shape[-1] ** 0.5, -1)
    expected = (weights @ qkv[2]).transpose(1, 2).reshape(1, 192, 256)
    attended = nn.functional.scaled_dot_product_attention(*qkv).transpose(1, 2).reshape(1, 192, 256)
    assert torch.allclose(attended, expected, atol=1e-5)
    assert weights.max() < 0.2
    entropy = -(weights * weights.log()).sum(-1).mean()
    assert entropy > 0.9 * torch.log(torch.tensor(192.0))


def test_a_fresh_transformer_block_passes_its_input_through() -> None:
    tokens = torch.randn(2, 12, 64)
    assert torch.equal(CompactTransUNet(width=8, heads=2).blocks[0](tokens), tokens)


def test_the_contrastive_embedding_and_the_lesions_share_one_encoder() -> None:
    """In the authors' released code they have two, so that the contrastive loss changes nothing."""
    for network in (
        CompactTransUNet(width=8, blocks=1, heads=2, mlp=16),
        DenseLstmUNet(in_channels=4, width=4),
    ):
        _, embedding = network.forward_with_embedding(torch.rand(2, 4, 32, 32))
        embedding[:, 0].sum().backward()
        first = next(part for part in network.modules() if isinstance(part, nn.Conv2d))
        assert first.weight.grad is not None
        assert first.weight.grad.abs().sum() > 0


def test_a_shortcut_of_every_second_pixel_is_a_strided_convolution() -> None:
    x = torch.rand(2, 6, 10, 12)
    strided, plain = nn.Conv2d(6, 4, 1, stride=2), nn.Conv2d(6, 4, 1)
    plain.load_state_dict(strided.state_dict())
    assert torch.allclose(plain(every(2, x)), strided(x), atol=1e-6)
    assert every(1, x) is x


def test_the_full_transunet_has_105_million_parameters() -> None:
    """Chen et al. 2021, without our projection head; built without memory."""
    with torch.device("meta"):
        network = R50VitTransUNet(in_channels=3)
    assert parameters(network) - parameters(network.project) == pytest.approx(105.3e6, rel=0.002)


def test_the_attention_of_the_full_transunet_is_not_one_hot_either() -> None:
    torch.manual_seed(0)
    network = R50VitTransUNet(width=16, units=(1, 1, 1), blocks=1, heads=4).eval()
    layer = network.blocks.layers[0]
    tokens = layer.norm1(torch.randn(1, 196, 192))
    _, weights = layer.self_attn(tokens, tokens, tokens, need_weights=True, average_attn_weights=False)
    entropy = -(weights * weights.log()).sum(-1).mean()
    assert entropy > 0.9 * torch.log(torch.tensor(196.0))


def test_the_nested_generator_paints_what_the_dense_one_does() -> None:
    torch.manual_seed(0)
    network = NestedGenerator(base_width=2, lung_channel=True, composite=True)
    x = torch.rand(2, 2, 16, 32, 48)
    made = network(x, draw_latent(x))
    assert made.volume.shape == made.share.shape == (2, 1, 16, 32, 48)
    assert made.share.mean() < 0.25
    assert not torch.equal(made.volume, network(x, draw_latent(x)).volume), "what comes from below counts"


def test_each_node_of_the_nested_generator_sees_all_earlier_ones_of_its_level_and_the_one_below() -> None:
    """Written out after equation 1 of UNet++ (Zhou et al. 2018)."""
    torch.manual_seed(0)
    network = NestedGenerator(base_width=2)
    x = torch.rand(1, 1, 16, 32, 32)
    latent = 20 * draw_latent(x)

    def act(x: torch.Tensor) -> torch.Tensor:
        return torch.maximum(x, 0.3 * x)

    def node(level: int, column: int) -> torch.Tensor:
        if (level, column) not in nodes:
            name = f"{level}-{column}"
            up = network.ups[name](node(level + 1, column - 1))
            seen = torch.cat([*(node(level, before) for before in range(column)), up], 1)
            pair = network.nodes[name]
            nodes[level, column] = act(pair.second(act(pair.first(seen))))
        return nodes[level, column]

    nodes: dict[tuple[int, int], torch.Tensor] = {}
    below = x
    for level, pair in enumerate(network.encoders):
        nodes[level, 0] = act(pair.second(act(pair.first(below))))
        below = nn.functional.max_pool3d(nodes[level, 0], 2)
    nodes[4, 0] = network.bottleneck(below, latent)
    expected = nn.functional.relu(network.head(node(0, 4)))
    assert len(nodes) == 15
    torch.testing.assert_close(network(x, latent).volume, expected)


def test_the_full_transunet_is_a_resnet_50_a_vit_and_an_upsampler_with_three_skips() -> None:
    """Written out after Chen et al. 2021 (figure 1) and their released code."""
    torch.manual_seed(0)
    network = R50VitTransUNet(width=8, units=(2, 1, 1), blocks=1, heads=4, position_grid=(2, 3)).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # none may stay at its start of 0 or 1
            parameter.add_(0.2 * torch.randn_like(parameter))

    def conv(x: torch.Tensor, layer: nn.Conv2d, stride: int = 1) -> torch.Tensor:
        """Each filter is standardised."""
        filters = layer.weight.flatten(1)
        spread = (filters.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
        weight = ((filters - filters.mean(1, keepdim=True)) / spread).view_as(layer.weight)
        return nn.functional.conv2d(x, weight, stride=stride, padding=layer.kernel_size[0] // 2)

    given = torch.rand(2, 4, 32, 48)
    x = torch.relu(network.stem_norm(conv(given, network.stem, 2)))
    skips = [x]
    x = nn.functional.max_pool2d(x, 3, 2, 1)
    for number, stage in enumerate(network.stages):
        for unit, module in enumerate(stage):
            stride = 2 if number and not unit else 1
            conv1, norm1, _, conv2, norm2, _, conv3, norm3 = module.body
            kept = x
            if unit == 0:
                conv_kept, norm_kept = module.shortcut
                kept = norm_kept(conv(x, conv_kept, stride))
            y = torch.relu(norm2(conv(torch.relu(norm1(conv(x, conv1))), conv2, stride)))
            x = torch.relu(kept + norm3(conv(y, conv3)))
        skips.append(x)
    tokens = (network.embed(skips.pop()) + network.positions).flatten(2).transpose(1, 2)
    (block,) = network.blocks.layers
    q = block.norm1(tokens)
    tokens = tokens + block.self_attn(q, q, q, need_weights=False)[0]
    wide = block.linear1(block.norm2(tokens))
    tokens = network.blocks.norm(tokens + block.linear2(wide * (1 + torch.erf(wide / 2**0.5)) / 2))
    embedding = network.project(tokens.mean(1))
    x = network.more(tokens.transpose(1, 2).unflatten(2, (2, 3)))
    for up in network.ups:
        x = nn.functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = up(torch.cat([x, skips.pop()], 1) if skips else x)
    logits, told = network.forward_with_embedding(given)
    torch.testing.assert_close(logits, network.head(x), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(told, embedding / embedding.norm(dim=1, keepdim=True), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("seed", range(2))
def test_the_papers_u_net_learns_from_its_first_steps_on(seed: int) -> None:
    """From torch's own initialisation, and with a head that can die, it stays one constant."""
    torch.manual_seed(seed)
    network = DenseLstmUNet(width=8)
    optimiser = torch.optim.Adam(network.parameters(), 2e-3)
    x = nn.functional.interpolate(torch.rand(8, 1, 5, 5), size=32, mode="bilinear")
    target = (x > 0.65).float()
    losses = []
    for _ in range(30):
        loss = ((torch.sigmoid(network(x)) - target) ** 2).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * target.var().item()


def test_dropout_is_where_the_released_code_has_it() -> None:
    assert (
        sum(isinstance(part, nn.Dropout) for part in Discriminator("reference", dropout=0.5).modules()) == 3
    )
