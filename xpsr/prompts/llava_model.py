"""The networks behind the describer llava, loaded: one call answers both questions of pictures."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    GenerationConfig,
    PretrainedConfig,
    StoppingCriteria,
    StoppingCriteriaList,
)
from transformers.generation.streamers import BaseStreamer

from xpsr.building import built
from xpsr.errors import XPSRError, is_out_of_memory
from xpsr.prompts.description import DescriberUnavailableError
from xpsr.prompts.questions import Questions
from xpsr.prompts.writer import Job

logger = logging.getLogger(__name__)
# Code that comes with a model is never run, and nothing is asked of the hub behind our back.
_OURS: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}


class MemoryShortError(XPSRError):
    """The memory did not suffice for the pictures that were put to the model at once."""


def read_config(folder: Path, model: str) -> PretrainedConfig:
    """The configuration of a model in a folder; `model` is what to call it.

    Raises:
        DescriberUnavailableError: there is none, or the model does not answer about pictures.
    """
    try:
        config = AutoConfig.from_pretrained(folder, **_OURS)
    except Exception as error:  # of the file, of JSON, of an unknown kind
        logger.info("reading the configuration of %s failed", model, exc_info=error)
        raise DescriberUnavailableError(
            f"{model} has no configuration that transformers can read (config.json): name another "
            "model as llava:ID or llava:FOLDER, or use the describer measured."
        ) from error
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise DescriberUnavailableError(
            f"{model} is a model of the kind {config.model_type}, which does not answer questions "
            "about pictures; choose a LLaVA."
        )
    return config


class LlavaModel:
    """Networks and processor of one model on one device.

    Args:
        folder: where its files are.
        model: what to call it.
        bits: 4, 8, 16 or 32 a weight.
        device: where it runs.
        max_new_tokens: the longest answer.

    Raises:
        DescriberUnavailableError: it cannot be loaded.
    """

    def __init__(
        self, folder: Path, model: str, bits: int, device: torch.device, max_new_tokens: int
    ) -> None:
        self.device, self.max_new_tokens = device, max_new_tokens
        self.dtype = _dtype(bits, device)
        try:
            self.processor: Any = AutoProcessor.from_pretrained(folder, **_OURS)
            self.network: Any = built(
                lambda: AutoModelForImageTextToText.from_pretrained(
                    folder,
                    **_OURS,
                    dtype=self.dtype,
                    device_map={"": device},
                    quantization_config=_quantization(bits, self.dtype),
                    use_safetensors=True,
                )
            ).eval()
        except Exception as error:
            raise _cannot_load(model, bits, error) from error
        # The answers of both questions begin in the same column.
        self.processor.tokenizer.padding_side = "left"

    def write(self, jobs: Sequence[Job], questions: Questions) -> None:
        """Answer both questions about each picture, all in one batch.

        A picture's answers end early once it is stopped. They do not depend on the others of the
        batch, but for what adding up in another order changes.

        Raises:
            MemoryShortError: the memory is not enough.
        """
        try:
            inputs = self.processor(
                images=[job.image for job in jobs for _ in range(2)],
                text=[self._ask(questions.high), self._ask(questions.low)] * len(jobs),
                padding=True,
                return_tensors="pt",
            ).to(self.device, self.dtype)
            with torch.inference_mode():
                self.network.generate(
                    **inputs,
                    generation_config=self._greedy(),
                    streamer=_Pen(self.processor.tokenizer, jobs),
                    stopping_criteria=StoppingCriteriaList([_Stop(jobs)]),
                )
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise MemoryShortError(
                f"The memory of {self.device} did not suffice to describe the picture; use "
                "llava?bits=4, or free some memory."
            ) from error

    def _ask(self, question: str) -> str:
        """The words around a question, as this model was trained."""
        config = self.network.config
        like_the_authors = (config.model_type, config.get_text_config().model_type) == (
            "llava",
            "llama",
        )
        if like_the_authors or not self.processor.chat_template:
            return f"<image>\nUSER: {question} \nASSISTANT:"  # byte for byte the authors'
        content = [{"type": "image"}, {"type": "text", "text": question}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
        )

    def _greedy(self) -> GenerationConfig:
        own = self.network.generation_config
        tokenizer = self.processor.tokenizer
        end = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
        return GenerationConfig(
            do_sample=False,
            num_beams=1,
            max_new_tokens=self.max_new_tokens,
            eos_token_id=end,
            pad_token_id=pad[0] if isinstance(pad, list) else pad,
        )


class _Pen(BaseStreamer):
    """Keeps drafts up to date; transformers' own streamers take one question only."""

    def __init__(self, tokenizer: Any, jobs: Sequence[Job]) -> None:
        self.tokenizer, self.jobs = tokenizer, jobs
        self.rows: list[list[int]] | None = None

    def put(self, value: torch.Tensor) -> None:
        if self.rows is None:  # first come the questions themselves
            self.rows = [[] for _ in range(2 * len(self.jobs))]
            return
        for row, token in zip(self.rows, value.tolist(), strict=True):
            row.append(token)
        for index, row in enumerate(self.rows):
            text = self.tokenizer.decode(row, skip_special_tokens=True)
            self.jobs[index // 2].draft.texts[index % 2] = text

    def end(self) -> None:
        pass


class _Stop(StoppingCriteria):
    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        stopped = [job.stopped.is_set() for job in self.jobs for _ in range(2)]
        return torch.tensor(stopped, device=input_ids.device)


def _dtype(bits: int, device: torch.device) -> torch.dtype:
    if bits == 32:
        return torch.float32
    # Ordinary processors are slow at float16; 8 bits are computed with it wherever they run.
    return torch.bfloat16 if device.type == "cpu" and bits != 8 else torch.float16


def _quantization(bits: int, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    if bits == 4:
        return BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    return None


def _cannot_load(model: str, bits: int, error: Exception) -> DescriberUnavailableError:
    logger.info("loading %s failed", model, exc_info=error)
    if is_out_of_memory(error):
        return DescriberUnavailableError(
            f"The memory did not suffice to load {model}; use llava?bits=4, or free some memory."
        )
    if bits < 16 and isinstance(error, ImportError):
        return DescriberUnavailableError(
            f"{bits} bits need the package bitsandbytes, which does not work here: use "
            "llava?bits=16."
        )
    return DescriberUnavailableError(
        f"{model} could not be loaded: files of it are missing, damaged, or not in the safetensors "
        "format. Fetch it again, name a whole folder as llava:FOLDER, or use the describer "
        "measured."
    )
