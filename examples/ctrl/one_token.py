"""A causal transformer whose response is one of 256 words, trained by TRL: its softmax is exact.

The logits of the one position are free for every prompt, so the law that training converges to can
be compared with the law that theory claims, word by word, with no model error between them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

WORDS = 256
PROMPTS = 8
GROUP = 128  # responses a prompt in each batch


@dataclass(frozen=True)
class World:
    """Prompts, the base model's law of words, and the gold reward of every word."""

    base: np.ndarray
    rewards: np.ndarray

    @classmethod
    def make(cls, seed: int = 0) -> World:
        """Base laws near uniform, continuous rewards whose scale differs by prompt."""
        rng = np.random.default_rng(seed)
        logits = rng.normal(0.0, 0.5, (PROMPTS, WORDS))
        base = np.exp(logits)
        base /= base.sum(axis=1, keepdims=True)
        scale = np.exp(rng.normal(0.0, 1.0, PROMPTS))
        return cls(base, rng.normal(0.0, 1.0, (PROMPTS, WORDS)) * scale[:, None])

    def calibrated(self) -> np.ndarray:
        """Exact calibrated reward of every word: base mass below, half its own."""
        order = np.argsort(self.rewards, axis=1)
        mass = np.take_along_axis(self.base, order, axis=1)
        places = np.cumsum(mass, axis=1) - mass / 2
        out = np.empty_like(places)
        np.put_along_axis(out, order, places, axis=1)
        return out


def tokenizer() -> Any:
    """One token a word or prompt, no merges, nothing to download."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    names = [f"w{i}" for i in range(WORDS)] + [f"p{i}" for i in range(PROMPTS)]
    vocabulary = {name: at for at, name in enumerate([*names, "<pad>", "<eos>", "<unk>"])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


def base_model(world: World, seed: int = 0) -> Any:
    """A tiny transformer fitted to the base laws, all else impossible after a prompt."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    size = WORDS + PROMPTS + 3
    config = GPT2Config(
        vocab_size=size,
        n_positions=8,
        n_embd=32,
        n_layer=1,
        n_head=2,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        pad_token_id=size - 3,
        eos_token_id=size - 2,
        bos_token_id=size - 2,
    )
    model = GPT2LMHeadModel(config)
    asked = torch.arange(WORDS, WORDS + PROMPTS)[:, None]
    target = torch.tensor(np.pad(world.base, ((0, 0), (0, size - WORDS))), dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 200)
    for _ in range(200):
        logits = model(input_ids=asked).logits[:, -1]
        loss = -(target * torch.log_softmax(logits, dim=-1)).sum(dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return model


def laws(model: Any) -> np.ndarray:
    """The model's law of words after each prompt, renormalised to words; shape (prompts, words)."""
    import torch

    with torch.no_grad():
        asked = torch.arange(WORDS, WORDS + PROMPTS)[:, None].to(model.device)
        logits = model(input_ids=asked).logits[:, -1, :WORDS].double()
        return torch.softmax(logits, dim=-1).cpu().numpy()


def train(
    world: World,
    reward: Callable[..., list[float]],
    trainer: str,
    arguments: dict[str, Any],
    *,
    steps: int = 150,
    rate: float = 2e-2,
    seed: int = 0,
    callbacks: list[Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Train with TRL; the base law as the model has it, and the law it ends at."""
    import torch
    from datasets import Dataset
    from transformers import GPT2LMHeadModel
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    torch.set_num_threads(1)
    kind, configuration = (
        (RLOOTrainer, RLOOConfig) if trainer == "trl-rloo" else (GRPOTrainer, GRPOConfig)
    )
    words = tokenizer()
    with tempfile.TemporaryDirectory() as folder:
        base_model(world, seed).save_pretrained(folder)  # trainers read the reference from there
        model = GPT2LMHeadModel.from_pretrained(folder)
        before = laws(model)
        config = configuration(
            output_dir=folder,
            max_steps=steps,
            learning_rate=rate,
            lr_scheduler_type="cosine",
            per_device_train_batch_size=PROMPTS * GROUP,
            num_generations=GROUP,
            max_completion_length=1,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_grad_norm=1e9,
            report_to=[],
            save_strategy="no",
            logging_steps=25,
            seed=seed,
            use_cpu=True,
            disable_tqdm=True,
            bf16=False,
            adam_beta2=0.99,
            gradient_checkpointing=False,
            **arguments,
        )
        run = kind(
            model=model,
            args=config,
            reward_funcs=reward,
            processing_class=words,
            train_dataset=Dataset.from_dict({"prompt": [f"p{i}" for i in range(PROMPTS)] * 8}),
            callbacks=callbacks,
        )
        run.train()
    return before, laws(run.model)
