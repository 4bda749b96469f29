#!/usr/bin/env python3
"""Writes tests/fixtures/models/: tiny models of every architecture with the outputs that the world's
implementations give, in fp32. Run by hand where torch, transformers and diffusers are installed
(the versions are in tests/fixtures/models/README.md); the results are committed.

Each folder gets NAME.model (the description of harness/models with small sizes),
weights.safetensors (as transformers saves it) and expected.safetensors: the inputs, by the names of
the description (whole numbers as floats), and the output.
"""
import math
import os
import sys
import tempfile

import safetensors
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "models")
BATCH, TOKENS = 2, 13


def randomise(model, seed):
    """Weights of a size that lets every operator show in the output; norms are about 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim >= 2:
                fan_in = p[0].numel() if "embed" not in name and "wte" not in name else 1
                p.copy_(noise / math.sqrt(fan_in))
            elif name.endswith("weight"):
                p.copy_(1 + 0.1 * noise)
            else:
                p.copy_(0.1 * noise)
    return model.eval()


def write(name, sizes, weights, tensors, extra=""):
    folder = os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + "_tiny.model"), "w") as f:
        f.write(f"# {name} with small sizes, for the parity tests.\nbase {name}\n{extra}")
        f.writelines(f"size {key} {value}\n" for key, value in sizes.items())
    save_file({k: v.contiguous() for k, v in weights.items()}, os.path.join(folder, "weights.safetensors"))
    save_file({k: v.float().contiguous() for k, v in tensors.items()},
              os.path.join(folder, "expected.safetensors"))
    print(f"{name}: {sum(v.numel() for v in weights.values())} weights, output {tuple(tensors['output'].shape)}")


def saved(model):
    """The tensors as save_pretrained() names them."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return load_file(os.path.join(folder, "model.safetensors"))


def token_ids(vocab, seed):
    return torch.randint(vocab, (BATCH, TOKENS), generator=torch.Generator().manual_seed(seed))


# Ranks and blocks that fit the small sizes.
FACTORS = "tokens 13\nfactor {0} lowrank 12 monarch 16/4 blast 12/4\n"


def gpt2s():
    config = transformers.GPT2Config(vocab_size=96, n_positions=16, n_embd=32, n_layer=2, n_head=4, n_inner=48,
                                     bos_token_id=None, eos_token_id=None)
    model = randomise(transformers.GPT2Model(config), 1)
    ids = token_ids(96, 2)
    sizes = dict(layers=2, hidden=32, inner=48, heads=4, vocab=96, positions=16)
    write("gpt2s", sizes, saved(model), {"ids": ids, "output": model(ids).last_hidden_state},
          FACTORS.format("replaced"))


def llama(name, sizes, seed, factors, **more):
    config = transformers.LlamaConfig(
        vocab_size=sizes["vocab"], hidden_size=sizes["hidden"], intermediate_size=sizes["inner"],
        num_hidden_layers=sizes["layers"], num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"], head_dim=sizes["head"], bos_token_id=None, eos_token_id=None, **more)
    model = randomise(transformers.LlamaForCausalLM(config), seed)
    ids = token_ids(sizes["vocab"], seed + 1)
    write(name, sizes, saved(model), {"ids": ids, "output": model(ids).logits}, factors)


def llama7b():
    sizes = dict(layers=2, hidden=32, inner=48, heads=2, kv_heads=2, head=16, vocab=96)
    llama("llama7b", sizes, 3, FACTORS.format("attention") + FACTORS.format("mlp").split("\n", 1)[1],
          rms_norm_eps=1e-6, rope_parameters={"rope_type": "default", "rope_theta": 10000.0})


def llama1b():
    sizes = dict(layers=2, hidden=32, inner=48, heads=4, kv_heads=2, head=8, vocab=96, rope_original=64)
    rope = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    factors = "".join(FACTORS.format(g).split("\n", 1)[1] for g in ("attention", "gate", "mlp"))
    llama("llama1b", sizes, 5, "tokens 13\n" + factors, rms_norm_eps=1e-5, tie_word_embeddings=True,
          rope_parameters=rope)


def bert_base():
    config = transformers.BertConfig(vocab_size=96, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                     intermediate_size=48, max_position_embeddings=16)
    model = randomise(transformers.BertModel(config, add_pooling_layer=False), 7)
    ids = token_ids(96, 8)
    sizes = dict(layers=2, hidden=32, inner=48, heads=4, vocab=96, positions=16)
    write("bert_base", sizes, saved(model), {"ids": ids, "output": model(ids).last_hidden_state},
          FACTORS.format("replaced"))


def vit_b16():
    config = transformers.ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                                    image_size=24, patch_size=8)
    model = randomise(transformers.ViTModel(config, add_pooling_layer=False), 9)
    pixels = torch.randn(BATCH, 3, 24, 24, generator=torch.Generator().manual_seed(10))
    sizes = dict(layers=2, hidden=32, inner=48, heads=4, image=24, patch=8)
    write("vit_b16", sizes, saved(model), {"pixels": pixels, "output": model(pixels).last_hidden_state},
          FACTORS.format("replaced").split("\n", 1)[1])


# ---- DiT, from the equations and the names of weights of Peebles and Xie, arXiv 2212.09748 ----


class DiTBlock(nn.Module):
    def __init__(self, hidden, inner, heads):
        super().__init__()
        self.heads = heads
        self.attn = nn.ModuleDict({"qkv": nn.Linear(hidden, 3 * hidden), "proj": nn.Linear(hidden, hidden)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(hidden, inner), "fc2": nn.Linear(inner, hidden)})
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(self, x, c):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).unsqueeze(1).chunk(6, dim=2)
        q, k, v = self.attn["qkv"](modulate(x, shift_a, scale_a)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x + gate_a * self.attn["proj"](a)
        h = F.gelu(self.mlp["fc1"](modulate(x, shift_m, scale_m)), approximate="tanh")
        return x + gate_m * self.mlp["fc2"](h)


def modulate(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class DiT(nn.Module):
    def __init__(self, image, patch, channels, hidden, inner, layers, heads, classes, frequencies):
        super().__init__()
        self.patch, self.channels, self.side, self.frequencies = patch, channels, image // patch, frequencies
        self.x_embedder = nn.ModuleDict({"proj": nn.Conv2d(channels, hidden, patch, stride=patch)})
        self.pos_embed = nn.Parameter(torch.empty(1, self.side**2, hidden))
        self.t_embedder = nn.ModuleDict({"mlp": nn.Sequential(nn.Linear(frequencies, hidden), nn.SiLU(),
                                                              nn.Linear(hidden, hidden))})
        self.y_embedder = nn.ModuleDict({"embedding_table": nn.Embedding(classes, hidden)})
        self.blocks = nn.ModuleList(DiTBlock(hidden, inner, heads) for _ in range(layers))
        self.final_layer = nn.ModuleDict({"linear": nn.Linear(hidden, patch * patch * 2 * channels),
                                          "adaLN_modulation": nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))})

    def forward(self, latent, t, y):
        x = self.x_embedder["proj"](latent).flatten(2).transpose(1, 2) + self.pos_embed
        half = self.frequencies // 2
        angles = t[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        c = self.t_embedder["mlp"](torch.cat([angles.cos(), angles.sin()], 1)) + self.y_embedder["embedding_table"](y)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = self.final_layer["adaLN_modulation"](c).unsqueeze(1).chunk(2, dim=2)
        x = self.final_layer["linear"](modulate(x, shift, scale))
        x = x.unflatten(1, (self.side, self.side)).unflatten(3, (self.patch, self.patch, 2 * self.channels))
        return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def check_with_diffusers(dit, sizes, inputs, output):
    """The same weights in diffusers' DiT must give the same noise."""
    from diffusers import DiTTransformer2DModel

    other = DiTTransformer2DModel(
        num_attention_heads=sizes["heads"], attention_head_dim=sizes["hidden"] // sizes["heads"], in_channels=4,
        out_channels=8, num_layers=sizes["layers"], sample_size=sizes["image"], patch_size=sizes["patch"],
        num_embeds_ada_norm=sizes["classes"] - 1).eval()
    w = dit.state_dict()
    state = {"pos_embed.proj.weight": w["x_embedder.proj.weight"], "pos_embed.proj.bias": w["x_embedder.proj.bias"],
             "proj_out_1.weight": w["final_layer.adaLN_modulation.1.weight"],
             "proj_out_1.bias": w["final_layer.adaLN_modulation.1.bias"],
             "proj_out_2.weight": w["final_layer.linear.weight"], "proj_out_2.bias": w["final_layer.linear.bias"]}
    for i in range(sizes["layers"]):
        ours, theirs = f"blocks.{i}.", f"transformer_blocks.{i}."
        state[theirs + "norm1.emb.class_embedder.embedding_table.weight"] = w["y_embedder.embedding_table.weight"]
        for kind in ("weight", "bias"):
            state[theirs + "norm1.emb.timestep_embedder.linear_1." + kind] = w["t_embedder.mlp.0." + kind]
            state[theirs + "norm1.emb.timestep_embedder.linear_2." + kind] = w["t_embedder.mlp.2." + kind]
            state[theirs + "norm1.linear." + kind] = w[ours + "adaLN_modulation.1." + kind]
            for part, rows in zip("qkv", w[ours + "attn.qkv." + kind].chunk(3)):
                state[f"{theirs}attn1.to_{part}.{kind}"] = rows
            state[theirs + "attn1.to_out.0." + kind] = w[ours + "attn.proj." + kind]
            state[theirs + "ff.net.0.proj." + kind] = w[ours + "mlp.fc1." + kind]
            state[theirs + "ff.net.2." + kind] = w[ours + "mlp.fc2." + kind]
    other.load_state_dict(state)
    other.pos_embed.pos_embed.copy_(w["pos_embed"])
    for block in other.transformer_blocks:  # the published equations divide by half, not by half - 1
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    theirs = other(inputs["latent"], timestep=inputs["t"], class_labels=inputs["y"]).sample
    error = ((theirs - output).norm() / output.norm()).item()
    assert error < 1e-5, f"diffusers differs: {error}"
    print(f"dit_xl2: diffusers agrees to {error:.1e}")


def dit_xl2():
    sizes = dict(layers=2, hidden=32, heads=4, image=8, patch=2, classes=11, frequencies=256)
    dit = DiT(8, 2, 4, 32, 128, 2, 4, 11, 256)
    randomise(dit, 11)
    generator = torch.Generator().manual_seed(12)
    inputs = {"latent": torch.randn(BATCH, 4, 8, 8, generator=generator), "t": torch.tensor([3, 871]),
              "y": torch.tensor([7, 10])}
    output = dit(**inputs)
    check_with_diffusers(dit, sizes, inputs, output)
    factors = "".join(f"factor {g} lowrank 12 blast 12/4\n" for g in ("qkv", "fc1", "adaln"))
    write("dit_xl2", sizes, dit.state_dict(), {**inputs, "output": output}, factors)


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        for make in (gpt2s, llama7b, llama1b, bert_base, vit_b16, dit_xl2):
            make()
    import diffusers

    with open(os.path.join(HERE, "README.md"), "w") as f:
        f.write(f"""# Tiny models for the parity tests

Written by `tests/make_model_fixtures.py` with Python {sys.version.split()[0]}, torch {torch.__version__},
transformers {transformers.__version__}, diffusers {diffusers.__version__}, safetensors {safetensors.__version__}; weights and inputs are random (seeds in the script).

Each folder holds the description of `harness/models/` with small sizes, the weights as transformers saves
them (DiT: the names of the authors' checkpoints), and `expected.safetensors`: inputs, by the names of the
description (whole numbers as floats), and the output of the reference in fp32 on a CPU. References are
GPT2Model, LlamaForCausalLM, BertModel and ViTModel of transformers, and for DiT the published equations
in plain torch, which the script compares with diffusers' DiTTransformer2DModel.
""")
