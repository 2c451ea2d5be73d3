"""A world of sentences: a corpus made in place, a base model fitted to it, a learned reward model.

Prompts are 64 pairs of a topic and a manner; a sentence is a walk over 24 words whose steps depend
on both, and ends by itself. The gold reward looks at words and at pairs of neighbours, its scale
differs by prompt, and nobody sees it: the reward model is fitted to noisy preferences, and is what
policies are trained on and judged by.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

WORDS = 24
SIDE = 8  # topics, and manners
PROMPTS = SIDE * SIDE
SHORTEST, LONGEST = 3, 6  # words of a sentence
END, PAD, UNKNOWN = WORDS + 2 * SIDE, WORDS + 2 * SIDE + 1, WORDS + 2 * SIDE + 2
SYMBOLS = WORDS + 2 * SIDE + 3
NAMES = [
    *(f"w{i}" for i in range(WORDS)),
    *(f"t{i}" for i in range(SIDE)),
    *(f"m{i}" for i in range(SIDE)),
    "<end>",
    "<pad>",
    "<unk>",
]
NUMBER = {name: at for at, name in enumerate(NAMES)}
PROMPT_TEXTS = [f"t{p // SIDE} m{p % SIDE}" for p in range(PROMPTS)]


@dataclass(frozen=True)
class World:
    """The law of sentences, and the gold reward.

    Attributes
    ----------
    first, follow : ndarray, shapes (24,) and (24, 24)
        Logits of the first word, and of a word after another.
    liking : ndarray, shape (64, 24)
        What each prompt adds to the logit of a word.
    worth, joint : ndarray, shapes (64, 24) and (24, 24)
        Gold reward of a word on a prompt, and of a word after another.
    scale : ndarray, shape (64,)
    """

    first: np.ndarray
    follow: np.ndarray
    liking: np.ndarray
    worth: np.ndarray
    joint: np.ndarray
    scale: np.ndarray

    @classmethod
    def make(cls, seed: int = 0) -> World:
        """The same world for the same seed."""
        rng = np.random.default_rng(seed)
        topics, manners = (rng.normal(0.0, 0.7, (SIDE, 8)) for _ in range(2))
        tastes = (topics[:, None] + manners[None]).reshape(PROMPTS, 8)
        meaning, value = (rng.normal(0.0, 1.0, (8, WORDS)) / np.sqrt(8.0) for _ in range(2))
        spread = rng.normal(0.0, 0.7, (SIDE, 2))
        return cls(
            first=rng.normal(0.0, 0.7, WORDS),
            follow=rng.normal(0.0, 1.0, (WORDS, WORDS)),
            liking=tastes @ meaning,
            worth=tastes @ value + rng.normal(0.0, 0.3, WORDS),
            joint=rng.normal(0.0, 0.7, (WORDS, WORDS)),
            scale=np.exp(spread[:, None, 0] + spread[None, :, 1]).ravel(),
        )

    def sentences(self, prompts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One sentence a prompt, shape (M, 6), padded after its end."""
        out = np.full((prompts.size, LONGEST), PAD)
        logits = self.first + self.liking[prompts]
        going = np.ones(prompts.size, dtype=bool)
        for place in range(LONGEST):
            word = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
            out[going, place] = word[going]
            logits = self.follow[word] + self.liking[prompts]
            if place >= SHORTEST - 1:  # from here on it may end
                going &= rng.random(prompts.size) > 0.25
        return out

    def gold(self, prompts: np.ndarray, sentences: np.ndarray) -> np.ndarray:
        """Gold reward of each sentence."""
        words = np.minimum(sentences, WORDS)
        worth = np.pad(self.worth, ((0, 0), (0, 1)))[prompts[:, None], words]
        joint = np.pad(self.joint, ((0, 1), (0, 1)))[words[:, :-1], words[:, 1:]]
        length = np.maximum((words < WORDS).sum(axis=1), 1)
        total = worth.sum(axis=1) + joint.sum(axis=1)
        return np.asarray(self.scale[prompts] * total / np.sqrt(length))


def read(texts: Sequence[str]) -> np.ndarray:
    """Words of completions as numbers, shape (M, 6); what is no word counts as nothing."""
    out = np.full((len(texts), LONGEST), PAD)
    for row, text in enumerate(texts):
        words = [NUMBER.get(name, UNKNOWN) for name in text.split()[:LONGEST]]
        kept = [word for word in words if word < WORDS]
        out[row, : len(kept)] = kept
    return out


def prompt_numbers(texts: Sequence[str]) -> np.ndarray:
    """Numbers of prompts."""
    place = {text: at for at, text in enumerate(PROMPT_TEXTS)}
    return np.array([place[text] for text in texts])


def tokenizer() -> Any:
    """One token a word, no merges, nothing to download."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel(NUMBER, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        padding_side="left",
    )


def descend(
    parameters: Any, loss: Callable[[], torch.Tensor], steps: int, rate: float
) -> list[float]:
    """Adam with a cosine schedule; the losses on the way."""
    import torch

    optimiser = torch.optim.Adam(parameters, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    losses = []
    for _ in range(steps):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        losses.append(float(value.detach()))
    return losses


def base_model(world: World, *, width: int = 64, steps: int = 600, seed: int = 0) -> Any:
    """A causal transformer of two layers fitted to the corpus; about 10^5 parameters at 64."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=SYMBOLS,
            n_positions=LONGEST + 4,
            n_embd=width,
            n_layer=2,
            n_head=4,
            activation_function="relu",
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=END,
            eos_token_id=END,
            pad_token_id=PAD,
        )
    )

    def loss() -> torch.Tensor:
        prompts = rng.integers(PROMPTS, size=256)
        said = world.sentences(prompts, rng)
        length = (said < WORDS).sum(axis=1)
        text = np.full((prompts.size, LONGEST + 2), PAD)
        text[:, 0], text[:, 1] = WORDS + prompts // SIDE, WORDS + SIDE + prompts % SIDE
        text[:, 2:] = said
        short = np.flatnonzero(length < LONGEST)
        text[short, 2 + length[short]] = END
        asked = torch.tensor(text)
        logits = model(input_ids=asked[:, :-1]).logits[:, 1:]
        wanted = asked[:, 2:].masked_fill(asked[:, 2:] == PAD, -100)
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten())

    descend(model.parameters(), loss, steps, 3e-3)
    return model.eval()


class RewardModel:
    """A small network over words and neighbours, fitted to noisy preferences (Bradley-Terry)."""

    def __init__(self, seed: int = 0) -> None:
        import torch

        torch.manual_seed(seed)
        self.words = torch.nn.Embedding(WORDS + 1, 32)
        self.prompts = torch.nn.Embedding(PROMPTS, 32)
        self.pairs = torch.nn.Conv1d(32, 64, 2)
        self.head = torch.nn.Sequential(
            torch.nn.Linear(96, 64), torch.nn.Tanh(), torch.nn.Linear(64, 1)
        )

    def modules(self) -> list[Any]:
        """All parts with parameters."""
        return [self.words, self.prompts, self.pairs, self.head]

    def logits(self, prompts: np.ndarray, sentences: np.ndarray) -> torch.Tensor:
        """Scores with gradients."""
        import torch

        said = torch.tensor(np.minimum(sentences, WORDS))
        there = (said < WORDS).float()
        length = there.sum(dim=1).clamp(min=1.0)
        found = self.pairs(self.words(said).transpose(1, 2))
        neighbours = torch.tanh(found) * there[:, None, 1:]
        means = neighbours.sum(dim=2) / length.sqrt()[:, None]
        asked = self.prompts(torch.tensor(prompts))
        return self.head(torch.cat([means, asked], dim=1))[:, 0]

    @classmethod
    def fit(
        cls, world: World, prompts: np.ndarray, said: np.ndarray, *, steps: int = 1000
    ) -> RewardModel:
        """From preferences between sentences of the same prompt, drawn by the gold reward's logit.

        Rows 2i and 2i + 1 are of one prompt.
        """
        import torch

        made = cls()
        rng = np.random.default_rng(1)
        gold = world.gold(prompts, said)
        chance = 1.0 / (1.0 + np.exp(gold[1::2] - gold[::2]))
        first = torch.tensor(rng.random(chance.size) < chance).float()

        def loss() -> torch.Tensor:
            pair = rng.integers(chance.size, size=512)
            ahead = made.logits(prompts[2 * pair], said[2 * pair])
            behind = made.logits(prompts[2 * pair], said[2 * pair + 1])
            return torch.nn.functional.binary_cross_entropy_with_logits(
                ahead - behind, first[torch.tensor(pair)]
            )

        parameters = [p for part in made.modules() for p in part.parameters()]
        descend(parameters, loss, steps, 3e-3)
        return made

    def score(self, prompts: np.ndarray, sentences: np.ndarray) -> np.ndarray:
        """Proxy reward of each sentence."""
        import torch

        with torch.no_grad():
            return np.asarray(self.logits(prompts, sentences).double().numpy())

    def __call__(self, prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
        """The same for texts, as trainers give them."""
        return self.score(prompt_numbers(prompts), read(completions)).tolist()


def sample(model: Any, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sentences of a model with their end: prompts and tokens, shapes (64 count,) and (.., 6)."""
    import torch

    torch.manual_seed(seed)
    prompts = np.tile(np.arange(PROMPTS), count)
    parts = []
    for chunk in np.array_split(prompts, max(1, prompts.size // 4096)):
        asked = torch.tensor(np.stack([WORDS + chunk // SIDE, WORDS + SIDE + chunk % SIDE], 1))
        made = model.generate(
            input_ids=asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=LONGEST,
            do_sample=True,
            top_k=0,
            top_p=1.0,
            temperature=1.0,
        )[:, 2:].numpy()
        parts.append(np.pad(made, ((0, 0), (0, LONGEST - made.shape[1])), constant_values=PAD))
    return prompts, np.concatenate(parts)


def log_ratios(model: Any, base: Any, prompts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """log pi/pi_ref of whole sentences, their end included."""
    import torch

    def total(one: Any, asked: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        logits = one(input_ids=asked[:, :-1]).logits[:, 1:].double()
        chosen = torch.log_softmax(logits, dim=-1).gather(2, asked[:, 2:, None])[:, :, 0]
        return (chosen * there).sum(dim=1)

    out = []
    with torch.no_grad():
        for rows in np.array_split(np.arange(prompts.size), max(1, prompts.size // 4096)):
            head = np.stack([WORDS + prompts[rows] // SIDE, WORDS + SIDE + prompts[rows] % SIDE], 1)
            asked = torch.tensor(np.concatenate([head, tokens[rows]], axis=1))
            there = torch.tensor(tokens[rows] != PAD)
            out.append((total(model, asked, there) - total(base, asked, there)).numpy())
    return np.concatenate(out)


def train(
    base: Any,
    reward: Callable[..., list[float]],
    trainer: str,
    arguments: dict[str, Any],
    *,
    steps: int = 120,
    batch: int = 256,
    rate: float = 1e-3,
    seed: int = 0,
    callbacks: list[Any] | None = None,
    bind: Callable[[Any], None] = lambda trainer: None,
) -> tuple[Any, Any]:
    """Train a copy of the base with TRL; the model and its trainer, given to ``bind`` before."""
    from datasets import Dataset
    from transformers import GPT2LMHeadModel
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    kind, configuration = (
        (RLOOTrainer, RLOOConfig) if trainer == "trl-rloo" else (GRPOTrainer, GRPOConfig)
    )
    with tempfile.TemporaryDirectory() as folder:
        base.save_pretrained(folder)  # trainers read the reference from there
        config = configuration(
            output_dir=folder,
            max_steps=steps,
            learning_rate=rate,
            lr_scheduler_type="cosine",
            warmup_steps=10,
            per_device_train_batch_size=batch,
            num_generations=8,
            max_completion_length=LONGEST,
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_grad_norm=1e9,
            report_to=[],
            save_strategy="no",
            logging_steps=5,
            seed=seed,
            use_cpu=True,
            disable_tqdm=True,
            bf16=False,
            adam_beta2=0.99,
            gradient_checkpointing=False,
            **arguments,
        )
        run = kind(
            model=GPT2LMHeadModel.from_pretrained(folder),
            args=config,
            reward_funcs=reward,
            processing_class=tokenizer(),
            # a large batch holds every prompt several times
            train_dataset=Dataset.from_dict(
                {"prompt": PROMPT_TEXTS * max(1, batch // 8 // PROMPTS)}
            ),
            callbacks=callbacks,
        )
        bind(run)
        run.train()
    return run.model.eval(), run
