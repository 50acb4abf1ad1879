"""A model from outside the package: a class or function, built for the records at hand and held to what is needed.

The least is an ``nn.Module`` class without required arguments, or a function ``(shape, outputs) -> nn.Module``.
Protocols that work on features ask for more: ``head`` and ``features``, as in :mod:`fedprivacy.models.contract`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from fedprivacy import seeds
from fedprivacy.config.base import UsageError


def made(part: Any, name: str, shape: tuple[int, ...], outputs: int) -> nn.Module:
    """A new module of ``part``, with one float32 logit an output. UsageError in one line where it cannot be."""
    found = _called(part, name, shape, outputs)
    if not isinstance(found, nn.Module):
        raise UsageError(f"model {name}: it made a {type(found).__name__}, not a torch.nn.Module.")
    odd = next((n for n, p in found.named_parameters() if p.dtype != torch.float32 or p.device.type != "cpu"), None)
    if odd is not None:
        raise UsageError(f"model {name}: parameter {odd} is not float32 on the CPU.")
    logits = _answered(found, name, shape)
    if logits.shape != (2, outputs):
        raise UsageError(
            f"model {name}: two records of shape {list(shape)} give outputs of shape {list(logits.shape)}; expected "
            f"[2, {outputs}], one logit a class" + (" (one in all for a sigmoid)." if outputs == 1 else ".")
        )
    if outputs > 1 and bool((logits >= 0).all()) and torch.allclose(logits.sum(dim=1), torch.ones(2), atol=1e-4):
        raise UsageError(f"model {name}: its outputs are probabilities; it must return logits, before the softmax.")
    return found


def _called(part: Any, name: str, shape: tuple[int, ...], outputs: int) -> Any:
    if isinstance(part, nn.Module):
        raise UsageError(f"model {name}: it has weights already; name its class, or a function that makes it.")
    if not callable(part):
        raise UsageError(f"model {name}: it is a {type(part).__name__}; expected an nn.Module class or a function.")
    wanted = _required(part, name)
    if len(wanted) not in (0, 2):
        raise UsageError(
            f"model {name}: it needs {', '.join(wanted)}; it is called with (shape of a record, number of outputs), or "
            "with nothing."
        )
    try:
        return part(shape, outputs) if wanted else part()
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"model {name}: building it for records {list(shape)} failed: {_cause(error)}.") from error


def _required(part: Callable[..., Any], name: str) -> list[str]:
    """Names of the arguments that ``part`` cannot do without."""
    try:
        parameters = inspect.signature(part).parameters.values()
    except (TypeError, ValueError):
        raise UsageError(f"model {name}: what it is called with cannot be seen; wrap it in a function.") from None
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in plain and p.default is inspect.Parameter.empty]


def _answered(module: nn.Module, name: str, shape: tuple[int, ...]) -> Tensor:
    module.eval()
    with torch.no_grad(), seeds.torch_scope(0, "model from outside", "inputs"):
        records = torch.rand(2, *shape)
        try:
            found = module(records)
        except Exception as error:
            raise UsageError(f"model {name}: it cannot read records {list(shape)}: {_cause(error)}.") from error
    module.train()
    if not isinstance(found, Tensor):
        raise UsageError(f"model {name}: its forward pass returns a {type(found).__name__}, not a tensor of logits.")
    return found


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}".rstrip(".")
