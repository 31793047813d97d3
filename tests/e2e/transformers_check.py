"""What a train stage leaves loads in `transformers` as it is, and computes there what we compute.

Run by transformers_test, in a virtual environment with torch and transformers.
"""

import glob
import json
import os
import subprocess
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import safetensors.torch
import torch
import transformers

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from workspace import Workspace


def compare_ids(workspace, folder, tokenizer):
    """Returns the ids of all documents."""
    documents = []
    for source in sorted(glob.glob(workspace.path("text/*/*.jsonl"))):
        with open(source, encoding="utf-8") as f:
            texts = [json.loads(line)["text"] for line in f]
        for text, ids in zip(texts, workspace.encode(folder, source), strict=True):
            assert tokenizer.encode(text, add_special_tokens=False) == ids, text
            documents.append(ids)
    return documents


def ours(workspace, folder, input_ids):
    """Logits and loss of trainer/parity."""
    case, out = workspace.path("case"), workspace.path("case_out")
    os.makedirs(case)
    os.makedirs(out)
    for name in ("config.json", "model.safetensors"):
        os.symlink(os.path.join(folder, name), os.path.join(case, name))
    safetensors.torch.save_file({"input_ids": input_ids, "labels": input_ids.clone(), "train_ids": input_ids[None].clone()},
                                os.path.join(case, "inputs.safetensors"))
    with open(os.path.join(case, "expected.json"), "w") as f:
        f.write("{}")
    subprocess.run([os.path.join(os.environ["TEST_SRCDIR"], "millrace/trainer/parity"), "parity", case, out], check=True)
    with open(os.path.join(out, "result.json")) as f:
        loss = json.load(f)["loss"]
    return safetensors.torch.load_file(os.path.join(out, "logits.safetensors"))["logits"], loss


def main():
    workspace = Workspace()
    try:
        workspace.run("--only=pretrain")
        folder = os.path.realpath(workspace.path("millrace-out/small/pretrain/hugging_face"))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        documents = compare_ids(workspace, folder, tokenizer)
        print("%s, %s: %d documents have the same ids" % (type(model).__name__, type(tokenizer).__name__, len(documents)))

        assert len(tokenizer) == model.config.vocab_size
        assert tokenizer.eos_token_id == model.config.eos_token_id
        length = model.config.max_position_embeddings
        input_ids = torch.tensor([ids[:length] for ids in documents if len(ids) >= length][:8])
        with torch.no_grad():
            theirs = model(input_ids, labels=input_ids)
        logits, loss = ours(workspace, folder, input_ids)
        difference = (logits - theirs.logits).abs().max().item()
        print("logits %s: largest %.3g, largest difference %.3g; loss %.7f and %.7f" %
              (list(logits.shape), theirs.logits.abs().max().item(), difference, loss, theirs.loss.item()))
        assert logits.shape == theirs.logits.shape
        assert difference < 2e-5 * max(1, theirs.logits.abs().max().item())
        assert abs(loss - theirs.loss.item()) < 1e-5

        prompt = tokenizer("one", return_tensors="pt", add_special_tokens=False).input_ids
        print(repr(tokenizer.decode(model.generate(prompt, max_new_tokens=8, do_sample=False)[0])))
    finally:
        workspace.remove()


if __name__ == "__main__":
    main()
